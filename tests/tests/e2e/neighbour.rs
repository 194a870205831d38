//! Another user of the same server.

use castari_tests::Castari;
use sha2::{Digest, Sha256};

const KEY: &str = "cast_neighbor_0123456789abcdefghijklmnopqrstuvwxyz0123";

/// Makes another user, as a second account would be, and answers its key.
pub fn move_in(castari: &Castari) -> &'static str {
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let user = "INSERT INTO users (id, email, created_at) VALUES ('usr_neighbor', 'neighbor@localhost', 0)";
    database.execute(user, []).unwrap();
    let key = "INSERT INTO api_keys (id, user_id, name, prefix, hash, created_at)
        VALUES ('ak_neighbor', 'usr_neighbor', 'Key', 'cast_neighbor', ?1, 0)";
    let hash: [u8; 32] = Sha256::digest(KEY).into();
    database.execute(key, [hash.as_slice()]).unwrap();
    KEY
}
