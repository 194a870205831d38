//! Managed files.

mod crash;
mod download;
mod form;
mod limits;
mod resource;
mod signed;

use castari_common::files::{Upload, UploadedFile};
use castari_tests::{Answer, Castari};
use reqwest::Method;
use sha2::{Digest, Sha256};

/// The boundary of forms that are written by hand.
pub const BOUNDARY: &str = "boundary";

/// The SHA-256 of bytes, as files have it.
pub fn hash(bytes: impl AsRef<[u8]>) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [high, low] = [&digest[..16], &digest[16..]].map(|half| u128::from_be_bytes(half.try_into().unwrap()));
    format!("{high:032x}{low:032x}")
}

/// Uploads a file.
pub async fn upload(castari: &Castari, name: &str, content: impl Into<Vec<u8>>) -> UploadedFile {
    let upload = Upload::new(name, content.into());
    castari.client().upload_file(upload).await.unwrap()
}

/// Bytes that no other seed gives.
pub fn bytes(seed: u8, count: usize) -> Vec<u8> {
    (0..count)
        .map(|index| u8::try_from(index % 251).unwrap() ^ seed)
        .collect()
}

/// A form of parts, each its headers and its content.
pub fn form(parts: &[(&str, &str)]) -> String {
    let part =
        |(headers, content): &(&str, &str)| ["--", BOUNDARY, "\r\n", headers, "\r\n\r\n", content, "\r\n"].concat();
    let parts: String = parts.iter().map(part).collect();
    format!("{parts}--{BOUNDARY}--\r\n")
}

/// Sends a form that was written by hand.
pub async fn send_form(castari: &Castari, form: impl Into<reqwest::Body>) -> Answer {
    let request = castari
        .request(Method::POST, "/files")
        .header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"));
    castari.send(request.body(form)).await
}

/// The `Content-Disposition` of a field.
pub fn field(name: &str) -> String {
    format!("Content-Disposition: form-data; name=\"{name}\"")
}

/// The `Content-Disposition` of the file.
pub fn file(filename: &str) -> String {
    format!("{}; filename=\"{filename}\"", field("file"))
}

/// Asserts that nothing but these contents is kept.
pub fn assert_keeps<'a>(castari: &Castari, contents: impl IntoIterator<Item = &'a String>) {
    let mut expected: Vec<String> = contents.into_iter().map(|hash| format!("files/{hash}")).collect();
    expected.sort();
    assert_eq!(castari.files(), expected);
}
