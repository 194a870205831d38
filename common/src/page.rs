use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most items that one page of a list may hold.
pub const MAX_PAGE: u32 = 100;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(default)]
pub struct Page {
    /// How many items at the most.
    #[schema(minimum = 1, maximum = 100, default = 20)]
    pub limit: u32,
    /// How many items to pass over first.
    #[schema(minimum = 0, default = 0)]
    pub offset: u64,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 20, offset: 0 }
    }
}

/// What a list says of itself beside its items.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// How many items there are in all, under the same filter.
    pub total: u64,
    /// The limit that was asked for.
    pub limit: u32,
    /// The offset that was asked for.
    pub offset: u64,
    /// Whether more items follow this page.
    pub has_more: bool,
}

impl Meta {
    /// Describes the page that `page` selected from `total` items.
    #[must_use]
    pub fn new(total: u64, page: Page) -> Self {
        Self {
            total,
            limit: page.limit,
            offset: page.offset,
            has_more: page.offset.saturating_add(u64::from(page.limit)) < total,
        }
    }
}
