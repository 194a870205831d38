//! Signatures of addresses that a file's content may be sent to without a credential.

use ring::hmac;

use crate::platform::vault::Vault;

/// Signs by HMAC-SHA256, with a key that lives as long as the master key.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub fn new(vault: &Vault) -> Self {
        Self(vault.signing_key("upload addresses"))
    }

    /// The signature, in hexadecimal, that lets `size` bytes be sent to a file until `expires`, a Unix time.
    pub fn sign(&self, id: &str, size: u64, expires: i64) -> String {
        hex::encode(hmac::sign(&self.0, message(id, size, expires).as_bytes()))
    }

    /// Whether a signature is that of these. It takes as long wherever it differs.
    pub fn is_valid(&self, id: &str, size: u64, expires: i64, signature: &str) -> bool {
        hex::decode(signature)
            .is_ok_and(|tag| hmac::verify(&self.0, message(id, size, expires).as_bytes(), &tag).is_ok())
    }
}

fn message(id: &str, size: u64, expires: i64) -> String {
    format!("PUT\n{id}\n{size}\n{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vault::MasterKey;

    fn signer(digit: &str) -> Signer {
        Signer::new(&Vault::new(&MasterKey::from_hex(&digit.repeat(64)).unwrap()))
    }

    #[test]
    fn a_signature_is_valid_for_what_it_was_made_for_alone() {
        let signer = signer("7");
        let signature = signer.sign("file_1", 5, 100);
        assert_eq!(
            signature,
            self::signer("7").sign("file_1", 5, 100),
            "as after a restart"
        );
        assert!(signer.is_valid("file_1", 5, 100, &signature));
        assert!(!signer.is_valid("file_2", 5, 100, &signature));
        assert!(!signer.is_valid("file_1", 6, 100, &signature));
        assert!(!signer.is_valid("file_1", 5, 101, &signature));
        assert!(!self::signer("8").is_valid("file_1", 5, 100, &signature));
        for wrong in ["", "00", "nonsense", &signature[..62], &format!("{signature}00")] {
            assert!(!signer.is_valid("file_1", 5, 100, wrong), "{wrong}");
        }
    }
}
