//! Encryption at rest: what is secret stands in the database only sealed.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};

use super::World;

/// How long a master key is, in bytes.
pub const KEY_BYTES: usize = 32;

/// The key that everything secret is sealed with. It has no `Debug`, so that it cannot get into a log.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

/// Seals and opens with one master key: ChaCha20-Poly1305, a fresh random nonce each, and where the value belongs as
/// associated data, so that a sealed value cannot be moved to another place.
pub struct Vault {
    key: LessSafeKey,
    /// What keys for other purposes are derived from.
    source: Prk,
    fingerprint: String,
}

/// A sealed value that cannot be opened: it was changed, moved, or sealed with another key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a sealed value cannot be opened: the master key is another one, or the database was changed")]
pub struct Unopened;

impl MasterKey {
    /// A new key.
    #[must_use]
    pub fn generate(world: &World) -> Self {
        let mut key = [0; KEY_BYTES];
        world.fill(&mut key);
        Self(key)
    }

    /// The key from its 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).ok()?;
        Some(Self(key))
    }

    /// The key as 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl Vault {
    /// The vault of a master key.
    ///
    /// # Panics
    /// Never: a master key has the length that the cipher wants.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a master key has the length that the cipher wants")]
    pub fn new(key: &MasterKey) -> Self {
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &key.0).expect("32 bytes");
        let fingerprint = digest(&SHA256, &[b"castari master key ", &key.0[..]].concat());
        Self {
            key: LessSafeKey::new(unbound),
            source: Salt::new(HKDF_SHA256, b"castari").extract(&key.0),
            fingerprint: hex::encode(&fingerprint.as_ref()[..8]),
        }
    }

    /// What tells one master key from another, and nothing else about it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A key to sign with, for one purpose alone. Another master key gives another one.
    ///
    /// # Panics
    /// Never: a key has a length that can be derived.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a key has a length that can be derived")]
    pub fn signing_key(&self, purpose: &str) -> hmac::Key {
        let derived = [purpose.as_bytes()];
        self.source.expand(&derived, HMAC_SHA256).expect("32 bytes").into()
    }

    /// Seals a value for one place, such as `secret/agt_1/TOKEN`. The result is nonce, ciphertext and tag.
    ///
    /// # Panics
    /// When the value is longer than the cipher can take, 256 GiB.
    #[must_use]
    #[expect(clippy::expect_used, reason = "no value is that long")]
    pub fn seal(&self, world: &World, place: &str, value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        world.fill(&mut nonce);
        let mut sealed = value.to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(once, Aad::from(place), &mut sealed)
            .expect("the value is not too long");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// When it was not sealed for this place with this key.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Unopened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened)?;
        let mut value = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(place), &mut value);
        let length = length.map_err(|_| Unopened)?.len();
        value.truncate(length);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> (World, Vault) {
        let world = World::new(|| jiff::Timestamp::UNIX_EPOCH, move |bytes| bytes.fill(byte));
        let vault = Vault::new(&MasterKey::generate(&world));
        (world, vault)
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_alone() {
        let (world, vault) = vault(7);
        let sealed = vault.seal(&world, "secret/agt_1/TOKEN", b"hidden");
        assert!(!sealed.windows(6).any(|bytes| bytes == b"hidden"));
        assert_eq!(vault.open("secret/agt_1/TOKEN", &sealed).unwrap(), b"hidden");
        vault.open("secret/agt_2/TOKEN", &sealed).unwrap_err();
        let (_, other) = self::vault(8);
        other.open("secret/agt_1/TOKEN", &sealed).unwrap_err();
        assert_ne!(vault.fingerprint(), other.fingerprint());
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let (world, vault) = vault(7);
        let sealed = vault.seal(&world, "place", b"");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            vault.open("place", &changed).unwrap_err();
            vault.open("place", &sealed[..index]).unwrap_err();
        }
        assert_eq!(vault.open("place", &sealed).unwrap(), b"");
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let (world, vault) = vault(7);
        let key = MasterKey::generate(&world);
        let read = MasterKey::from_hex(&format!("{}\n", key.to_hex())).unwrap();
        assert_eq!(Vault::new(&read).fingerprint(), vault.fingerprint());
        assert!(MasterKey::from_hex("0707").is_none() && MasterKey::from_hex(&"x".repeat(64)).is_none());
    }
}
