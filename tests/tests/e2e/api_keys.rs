//! API keys.

use castari_common::Client;
use castari_common::api_keys::CreateApiKey;
use castari_tests::Castari;
use castari_tests::shape::shape;
use serde_json::{Value, json};

/// A key's form without its random part.
fn masked(mut answer: Value) -> Value {
    for place in ["/key", "/api_key/prefix"] {
        if let Some(Value::String(key)) = answer.pointer_mut(place) {
            *key = key
                .chars()
                .map(|character| if character.is_ascii_alphanumeric() { 'x' } else { '_' })
                .collect();
        }
    }
    shape(answer)
}

#[tokio::test]
async fn a_key_is_made_shown_once_and_revoked() {
    let castari = Castari::start().await;
    let answer = castari.post("/api-keys", &json!({})).await;
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("new_api_key", masked(answer.json()));
    let new = castari
        .client()
        .create_api_key(&CreateApiKey {
            name: Some("CI".into()),
        })
        .await
        .unwrap();
    assert!(new.key.starts_with(&format!("{}_", new.api_key.prefix)) && new.key.len() >= 13 + 1 + 32);

    let theirs = Client::new(castari.url(), &new.key).unwrap();
    assert_eq!(
        theirs.me().await.unwrap().api_key_prefix,
        Some(new.api_key.prefix.clone())
    );
    let listed = castari.get("/api-keys").await;
    assert!(!listed.text.contains(&new.key[14..]), "the key is shown once");
    let names: Vec<String> = theirs
        .api_keys()
        .await
        .unwrap()
        .api_keys
        .into_iter()
        .map(|key| key.name)
        .collect();
    assert_eq!(names, ["CI", "Default", "Owner"], "newest first");

    castari.client().delete_api_key(&new.api_key.id).await.unwrap();
    let refused = theirs.me().await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().status, 401);
    let gone = castari.client().delete_api_key(&new.api_key.id).await.unwrap_err();
    assert_eq!(gone.refusal().unwrap().code.as_deref(), Some("api_key_not_found"));
}

#[tokio::test]
async fn a_key_revokes_itself() {
    let castari = Castari::start().await;
    let new = castari.client().create_api_key(&CreateApiKey::default()).await.unwrap();
    let theirs = Client::new(castari.url(), &new.key).unwrap();
    theirs.delete_own_api_key().await.unwrap();
    assert_eq!(theirs.me().await.unwrap_err().refusal().unwrap().status, 401);
    castari.client().me().await.unwrap();
}

#[tokio::test]
async fn names_are_checked() {
    let castari = Castari::start().await;
    for name in [
        json!(""),
        json!("  "),
        json!("a\u{0}b"),
        json!("x".repeat(256)),
        json!(7),
    ] {
        let answer = castari.post("/api-keys", &json!({"name": name})).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(castari.client().api_keys().await.unwrap().api_keys.len(), 1);
}
