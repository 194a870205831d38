//! Buckets.

use castari_common::Page;
use castari_common::buckets::{Bucket, UpdateBucket};
use jiff::Timestamp;
use rusqlite::{Row, named_params, params};

use super::{QueryResult, Read, Write, text};

/// All but the credentials.
pub(super) const COLUMNS: &str = "buckets.id, buckets.user_id, buckets.name, buckets.slug, buckets.provider,
    buckets.bucket_name, buckets.region, buckets.endpoint_url, buckets.credentials IS NOT NULL AS has_credentials,
    buckets.created_at, buckets.updated_at";

pub(super) fn bucket(row: &Row<'_>) -> QueryResult<Bucket> {
    Ok(Bucket {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        slug: row.get("slug")?,
        provider: text::named(row, "provider")?,
        bucket_name: row.get("bucket_name")?,
        region: row.get("region")?,
        endpoint_url: row.get("endpoint_url")?,
        has_credentials: row.get("has_credentials")?,
        created_at: text::time(row, "created_at")?,
        updated_at: text::time(row, "updated_at")?,
    })
}

/// A user's bucket by its slug.
///
/// # Errors
/// When the query fails.
pub fn by_slug(read: &Read<'_>, user_id: &str, slug: &str) -> QueryResult<Option<Bucket>> {
    let sql = format!("SELECT {COLUMNS} FROM buckets WHERE user_id = ?1 AND slug = ?2");
    read.optional(&sql, [user_id, slug], bucket)
}

/// A bucket by its id.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, id: &str) -> QueryResult<Option<Bucket>> {
    read.optional(&format!("SELECT {COLUMNS} FROM buckets WHERE id = ?1"), [id], bucket)
}

/// A page of a user's buckets, newest first, and how many there are in all.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, user_id: &str, page: Page) -> QueryResult<(Vec<Bucket>, u64)> {
    let sql = "SELECT count(*) FROM buckets WHERE user_id = ?1";
    let total = read.one(sql, [user_id], |row| row.get(0))?;
    let sql = format!(
        "SELECT {COLUMNS} FROM buckets WHERE user_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3"
    );
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let buckets = read.all(&sql, params![user_id, page.limit, offset], bucket)?;
    Ok((buckets, total))
}

/// The sealed credentials of a bucket, where it has some.
///
/// # Errors
/// When the query fails.
pub fn credentials(read: &Read<'_>, id: &str) -> QueryResult<Option<Vec<u8>>> {
    let found = read.optional("SELECT credentials FROM buckets WHERE id = ?1", [id], |row| row.get(0))?;
    Ok(found.flatten())
}

/// The sealed credentials of all buckets, by the buckets' ids.
///
/// # Errors
/// When the query fails.
pub fn all_credentials(read: &Read<'_>) -> QueryResult<Vec<(String, Vec<u8>)>> {
    let sql = "SELECT id, credentials FROM buckets WHERE credentials IS NOT NULL";
    read.all(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Puts credentials that were sealed anew in the place of the old ones.
///
/// # Errors
/// When the query fails.
pub fn reseal_credentials(write: &Write<'_>, id: &str, sealed: &[u8]) -> QueryResult<()> {
    let sql = "UPDATE buckets SET credentials = ?2 WHERE id = ?1";
    write.execute(sql, params![id, sealed]).map(drop)
}

/// Adds a bucket, which has no credentials yet.
///
/// # Errors
/// When the query fails, as it does for a slug that the user has already.
pub fn insert(write: &Write<'_>, bucket: &Bucket) -> QueryResult<()> {
    let sql = "INSERT INTO buckets (id, user_id, name, slug, provider, bucket_name, region, endpoint_url, created_at,
            updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let params = params![
        bucket.id,
        bucket.user_id,
        bucket.name,
        bucket.slug,
        text::name(&bucket.provider)?,
        bucket.bucket_name,
        bucket.region,
        bucket.endpoint_url,
        text::micros(bucket.created_at),
        text::micros(bucket.updated_at),
    ];
    write.execute(sql, params).map(drop)
}

/// Changes what `change` names.
///
/// # Errors
/// When the query fails.
pub fn update(write: &Write<'_>, id: &str, change: &UpdateBucket, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE buckets SET
            name = ifnull(:name, name),
            bucket_name = ifnull(:bucket_name, bucket_name),
            region = iif(:has_region, :region, region),
            endpoint_url = iif(:has_endpoint_url, :endpoint_url, endpoint_url),
            updated_at = :now
        WHERE id = :id";
    let params = named_params! {
        ":id": id,
        ":name": change.name,
        ":bucket_name": change.bucket_name,
        ":has_region": change.region.is_some(),
        ":region": change.region.clone().flatten(),
        ":has_endpoint_url": change.endpoint_url.is_some(),
        ":endpoint_url": change.endpoint_url.clone().flatten(),
        ":now": text::micros(now),
    };
    write.execute(sql, params).map(drop)
}

/// Sets or clears the sealed credentials.
///
/// # Errors
/// When the query fails.
pub fn set_credentials(write: &Write<'_>, id: &str, sealed: Option<&[u8]>, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE buckets SET credentials = ?2, updated_at = ?3 WHERE id = ?1";
    write.execute(sql, params![id, sealed, text::micros(now)]).map(drop)
}

/// Whether any agent mounts a bucket.
///
/// # Errors
/// When the query fails.
pub fn is_mounted(read: &Read<'_>, id: &str) -> QueryResult<bool> {
    read.one(
        "SELECT EXISTS (SELECT 1 FROM mounts WHERE bucket_id = ?1)",
        [id],
        |row| row.get(0),
    )
}

/// Deletes a bucket.
///
/// # Errors
/// When the query fails, as it does while the bucket is mounted.
pub fn delete(write: &Write<'_>, id: &str) -> QueryResult<()> {
    write.execute("DELETE FROM buckets WHERE id = ?1", [id]).map(drop)
}
