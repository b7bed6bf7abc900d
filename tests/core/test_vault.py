"""Tokens at rest."""

from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.vault import Vault, VaultError

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
TOKENS = st.one_of(
    st.text("abcß:-", max_size=20), st.sampled_from(["fernet:x", "plain:x", "plain:fernet:", "fernet:"])
)


class VaultTests(SynchronousTestCase):
    """Encryption and decryption."""

    @given(TOKENS, st.sampled_from([(), (OLD,), (NEW, OLD)]))
    def test_round_trip(self, token: str, keys: tuple[str, ...]) -> None:
        """A decrypted token is the original one, with keys and without, also if it begins with a prefix."""
        vault = Vault(keys)
        stored = vault.encrypt(token)
        self.assertEqual(vault.decrypt(stored), token)
        self.assertEqual(stored.startswith("fernet:"), bool(keys))

    def test_plain(self) -> None:
        """Without keys a token is stored as it is, and stays readable once there are keys."""
        stored = Vault().encrypt("glpat-1")
        self.assertEqual(stored, "glpat-1")
        self.assertEqual(Vault([NEW]).decrypt(stored), "glpat-1")

    def test_rotation(self) -> None:
        """The newest key encrypts, older ones still decrypt."""
        stored = Vault([OLD]).encrypt("glpat-1")
        both = Vault([NEW, OLD])
        self.assertEqual(both.decrypt(stored), "glpat-1")
        self.assertEqual(Vault([NEW]).decrypt(both.encrypt("glpat-2")), "glpat-2")

    def test_wrong_key(self) -> None:
        """The error for a token that no key decrypts names the variable, not the token or its stored form."""
        stored = Vault([OLD]).encrypt("glpat-1")
        for keys in ((), (NEW,)):
            error = self.assertRaises(VaultError, Vault(keys).decrypt, stored)
            self.assertIn("COPILOT_SECRET_KEY", str(error))
            self.assertNotIn("glpat", str(error))
            self.assertNotIn(stored[10:30], str(error))

    def test_bad_key(self) -> None:
        """The error for an invalid key names the variable, not the key."""
        error = self.assertRaises(VaultError, Vault, ["secret"])
        self.assertIn("COPILOT_SECRET_KEY", str(error))
        self.assertNotIn("'secret'", str(error))

    def test_cached(self) -> None:
        """The same stored token is decrypted only once."""
        vault = Vault([NEW])
        stored = vault.encrypt("glpat-1")
        vault.decrypt(stored)
        self.patch(vault, "_fernet", None)
        self.assertEqual(vault.decrypt(stored), "glpat-1")
