"""Origins of URLs, and where tokens are refreshed."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.origins import origin, token_endpoint


class OriginTests(SynchronousTestCase):
    """origin() and same_origin()."""

    def test_same(self) -> None:
        """Case, the scheme's default port, and the path make no difference."""
        for url in (
            "https://gitlab.example.org",
            "https://GitLab.Example.org:443/",
            "https://gitlab.example.org/a/b",
        ):
            self.assertEqual(origin(url), "https://gitlab.example.org")
        self.assertEqual(origin("http://h:0080"), origin("http://h"))
        self.assertEqual(origin("http://[::1]:8080/gitlab"), "http://[::1]:8080")

    def test_different(self) -> None:
        """Scheme, host and port make a difference."""
        urls = ("http://h", "https://h", "http://h.x", "http://h:8080", "http://h:443", "https://h:80", "http://h.")
        self.assertEqual(len({origin(url) for url in urls}), len(urls))

    def test_none(self) -> None:
        """A URL without an unambiguous host has no origin."""
        for url in (
            *("", "h", "//h", "ftp://h", "HTTP://h", "http:/h", "http://", "http:///x", "http://?x", "http://h:"),
            *("http://h:0", "http://h:65536", "http://h:123456", "http://u@h", "http://u:p@h", "http://h@"),
            *(
                "http://h\\@evil",
                "http://h/\\",
                "http://h?x",
                "http://h/?x",
                "http://h#x",
                "http://h/ x",
                "http://h\n",
            ),
            *(
                "http://h/\n",
                " http://h",
                "http://h\t/",
                "http://ä",
                "http://h:٤",
                "http://[::1",
                "http://[g]",
                "http://-h",
            ),
        ):
            self.assertIsNone(origin(url), url)

    @given(st.text("htps:/.@\\?#[]0189aZ-_ \n", max_size=20))
    def test_stable(self, text: str) -> None:
        """An origin is its own origin."""
        found = origin(f"http://{text}")
        self.assertEqual(found and origin(found), found)


class TokenEndpointTests(SynchronousTestCase):
    """token_endpoint()."""

    def test_beside_the_api(self) -> None:
        """The path of the API is dropped, that of the GitLab kept."""
        for url in ("http://h", "http://h/", "http://h/api/v4", "http://h/api/v4/", "http://h/api/graphql"):
            self.assertEqual(token_endpoint(url), "http://h/oauth/token")
        for url in ("http://h/gitlab", "http://h/gitlab/api/v4//", "http://h/gitlab//api/graphql/"):
            self.assertEqual(token_endpoint(url), "http://h/gitlab/oauth/token")
        self.assertEqual(token_endpoint("http://h/myapi/v4x"), "http://h/myapi/v4x/oauth/token")
