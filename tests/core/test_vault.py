"""Secrets at rest."""

from cryptography.fernet import Fernet, InvalidToken
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.origins import origin
from copilot_socket.core.vault import (
    Place,
    Vault,
    VaultError,
    access_token,
    check_keys,
    client_secret,
    fingerprint,
    new_key,
    refresh_token,
)

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
TOKENS = st.one_of(
    st.text("abcß:-", max_size=20),
    st.sampled_from(["fernet:x", "fernet:2:x", "fernet:2:", "plain:x", "plain:fernet:", "fernet:"]),
)
WORDS = st.sampled_from(["a", "b", "a\0b", '","', "accounts", "https://g", "https://g/", "http://g", "not a url"])
PLACES = st.builds(Place, WORDS, WORDS, WORDS, WORDS)
HERE = access_token("a", "https://gitlab.example.org")


def former(key: str, token: str) -> str:
    """*token* as former versions encrypted it."""
    return "fernet:" + Fernet(key).encrypt(token.encode()).decode()


class VaultTests(SynchronousTestCase):
    """Encryption and decryption."""

    @given(TOKENS, PLACES, st.sampled_from([(), (OLD,), (NEW, OLD)]))
    def test_round_trip(self, token: str, place: Place, keys: tuple[str, ...]) -> None:
        """A decrypted token is the original one, with keys and without, also if it begins with a prefix."""
        vault = Vault(keys)
        stored = vault.encrypt(token, place)
        self.assertEqual(vault.decrypt(stored, place), token)
        self.assertEqual(stored.startswith("fernet:2:"), bool(keys))

    def test_plain(self) -> None:
        """Without keys a token is stored as it is, and stays readable once there are keys."""
        stored = Vault().encrypt("glpat-1", HERE)
        self.assertEqual(stored, "glpat-1")
        self.assertEqual(Vault([NEW]).decrypt(stored, HERE), "glpat-1")

    def test_rotation(self) -> None:
        """The newest key encrypts, older ones still decrypt; which one does is told."""
        stored = Vault([OLD]).encrypt("glpat-1", HERE)
        both = Vault([NEW, OLD])
        self.assertEqual(both.decrypt(stored, HERE), "glpat-1")
        self.assertEqual(Vault([NEW]).decrypt(both.encrypt("glpat-2", HERE), HERE), "glpat-2")
        opened = [both.open(text, HERE) for text in (stored, both.encrypt("x", HERE), former(OLD, "x"), "x")]
        self.assertEqual(
            [(each.key, each.bound) for each in opened], [(1, True), (0, True), (1, False), (None, False)]
        )

    def test_wrong_key(self) -> None:
        """The error for a token that no key decrypts names the variable, not the token or its stored form."""
        for stored in (Vault([OLD]).encrypt("glpat-1", HERE), former(OLD, "glpat-1")):
            for keys in ((), (NEW,)):
                error = self.assertRaises(VaultError, Vault(keys).decrypt, stored, HERE)
                self.assertIn("COPILOT_SECRET_KEY", str(error))
                self.assertNotIn("glpat", str(error))
                self.assertNotIn(stored[10:30], str(error))

    def test_bad_key(self) -> None:
        """The error for an invalid key names the variable, not the key."""
        error = self.assertRaises(VaultError, Vault, ["secret"])
        self.assertIn("COPILOT_SECRET_KEY", str(error))
        self.assertNotIn("'secret'", str(error))

    def test_cached(self) -> None:
        """The same stored token is decrypted only once, and never given out for another place from the cache."""
        vault = Vault([NEW])
        stored = vault.encrypt("glpat-1", HERE)
        vault.decrypt(stored, HERE)
        self.assertRaises(VaultError, vault.decrypt, stored, refresh_token("a", "https://gitlab.example.org"))
        self.patch(vault, "_keys", [])
        self.assertEqual(vault.decrypt(stored, HERE), "glpat-1")

    def test_fingerprints(self) -> None:
        """Keys given twice count once; a fingerprint is part of no key, and new keys are keys."""
        vault = Vault([NEW, OLD, NEW])
        self.assertEqual(vault.fingerprints, (fingerprint(NEW), fingerprint(OLD)))
        for key in (NEW, OLD):
            self.assertRegex(fingerprint(key), r"\A[0-9a-f]{8}\Z")
            self.assertNotIn(fingerprint(key), key)
        check_keys([new_key()])


class BindingTests(SynchronousTestCase):
    """A stored secret is worth something in its own place only."""

    @given(PLACES, PLACES)
    def test_another_place(self, place: Place, other: Place) -> None:
        """What was encrypted for one place does not decrypt in any other."""
        assume((place[:3], origin(place.url) or place.url) != (other[:3], origin(other.url) or other.url))
        stored = Vault([NEW]).encrypt("glpat-1", place)
        self.assertFalse(Vault([NEW, OLD]).opens(stored, other))

    def test_what_is_told_apart(self) -> None:
        """Accounts, columns, tables and origins are told apart; the path of a URL and its default port are not."""
        vault = Vault([NEW])
        stored = vault.encrypt("glpat-1", access_token("a", "https://g/api/v4"))
        self.assertTrue(vault.opens(stored, access_token("a", "https://G:443")))
        for place in (
            access_token("b", "https://g"),
            refresh_token("a", "https://g"),
            client_secret("https://g"),
            access_token("a", "http://g"),
            access_token("a", "https://g:8443"),
            access_token("a", "https://evil"),
        ):
            self.assertFalse(vault.opens(stored, place), place)

    def test_other_forms(self) -> None:
        """A bound value is none of the former form, nor the other way round, whichever prefix it is given."""
        vault = Vault([NEW])
        bound, loose = vault.encrypt("glpat-1", HERE), former(NEW, "glpat-1")
        self.assertTrue(vault.opens(loose, HERE))
        for stored in (
            bound.replace("fernet:2:", "fernet:"),
            loose.replace("fernet:", "fernet:2:"),
            bound[:-4],
            bound[:20],
            "fernet:2:",
            "fernet:2:ä",
            "fernet:",
            bound.replace("fernet:2:", "fernet:3:"),
        ):
            self.assertFalse(vault.opens(stored, HERE), stored)

    def test_former_versions(self) -> None:
        """A version that knows only the former form refuses a bound value, and does not take it for a plain token."""
        stored = Vault([NEW]).encrypt("glpat-1", HERE)
        self.assertTrue(stored.startswith("fernet:"))
        self.assertRaises(InvalidToken, Fernet(NEW).decrypt, stored.removeprefix("fernet:"))

    def test_after_the_change(self) -> None:
        """Once the key of former versions is gone, nothing that is not bound is accepted: no such value was made."""
        vault = Vault([NEW])
        self.assertRaises(VaultError, vault.decrypt, former(OLD, "glpat-1"), HERE)
