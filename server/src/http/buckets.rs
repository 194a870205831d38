//! `/buckets`

use axum::Json;
use axum::extract::State;
use castari_common::Page;
use castari_common::buckets::{
    Bucket, BucketCredentials, BucketFileList, BucketFilesFilter, BucketList, BucketTest, CreateBucket, SignUrl,
    SignedUrl, UpdateBucket,
};

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::Caller;
use super::check::{Body, Path, Query};
use super::error::ApiError;
use super::routes::Routes;
use crate::platform::buckets::Transfer;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/buckets", "List buckets", list)
        .post("/buckets", "Make a bucket known", create)
        .get("/buckets/{slug}", "Show a bucket", show)
        .patch("/buckets/{slug}", "Change a bucket", update)
        .delete("/buckets/{slug}", "Forget a bucket", remove)
        .post(
            "/buckets/{slug}/credentials",
            "Store a bucket's credentials",
            set_credentials,
        )
        .delete(
            "/buckets/{slug}/credentials",
            "Forget a bucket's credentials",
            remove_credentials,
        )
        .post("/buckets/{slug}/test", "Try to reach a bucket", test)
        .get("/buckets/{slug}/files", "List one directory of a bucket", files)
        .post("/buckets/{slug}/upload-url", "Sign a URL to send a file to", upload_url)
        .post(
            "/buckets/{slug}/download-url",
            "Sign a URL to read a file from",
            download_url,
        )
}

async fn list(State(api): State<Api>, caller: Caller, Query(page): Query<Page>) -> Result<Json<BucketList>, ApiError> {
    Ok(Json(api.platform.buckets(caller.user_id(), page).await?))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(bucket): Body<CreateBucket>,
) -> Result<Created<Bucket>, ApiError> {
    let bucket = api.platform.create_bucket(caller.user_id(), bucket).await?;
    Ok(Created(bucket))
}

async fn show(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<Bucket>, ApiError> {
    Ok(Json(api.platform.bucket(caller.user_id(), &slug)?))
}

async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(change): Body<UpdateBucket>,
) -> Result<Json<Bucket>, ApiError> {
    Ok(Json(api.platform.update_bucket(caller.user_id(), &slug, change).await?))
}

async fn remove(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<NoContent, ApiError> {
    api.platform.delete_bucket(caller.user_id(), &slug).await?;
    Ok(NoContent)
}

async fn set_credentials(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(credentials): Body<BucketCredentials>,
) -> Result<NoContent, ApiError> {
    api.platform
        .set_bucket_credentials(caller.user_id(), &slug, credentials)
        .await?;
    Ok(NoContent)
}

async fn remove_credentials(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
) -> Result<NoContent, ApiError> {
    api.platform.delete_bucket_credentials(caller.user_id(), &slug).await?;
    Ok(NoContent)
}

async fn test(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<BucketTest>, ApiError> {
    Ok(Json(api.platform.test_bucket(caller.user_id(), &slug).await?))
}

async fn files(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(filter): Query<BucketFilesFilter>,
) -> Result<Json<BucketFileList>, ApiError> {
    Ok(Json(api.platform.bucket_files(caller.user_id(), &slug, filter).await?))
}

async fn upload_url(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(file): Body<SignUrl>,
) -> Result<Json<SignedUrl>, ApiError> {
    let signed = api
        .platform
        .sign_bucket_url(caller.user_id(), &slug, Transfer::Upload, file);
    Ok(Json(signed.await?))
}

async fn download_url(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(file): Body<SignUrl>,
) -> Result<Json<SignedUrl>, ApiError> {
    let signed = api
        .platform
        .sign_bucket_url(caller.user_id(), &slug, Transfer::Download, file);
    Ok(Json(signed.await?))
}
