//! Usage: what invocations add up to, by UTC day.

use jiff::Timestamp;
use jiff::civil::Date;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError, Usd};

/// Whose usage is wanted, and how far back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(default)]
pub struct UsageFilter {
    /// How many UTC days, today included.
    #[schema(minimum = 1, maximum = 365, default = 30)]
    pub days: u16,
    /// Only that of the agent with this slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub agent: Option<String>,
}

impl Default for UsageFilter {
    fn default() -> Self {
        Self { days: 30, agent: None }
    }
}

/// What all invocations of a period add up to: those made in it, in whatever status, whose agents still exist.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Usage {
    /// How many there are.
    pub total_invocations: u64,
    /// Tokens that went to models.
    pub total_input_tokens: u64,
    /// Tokens that came from models.
    pub total_output_tokens: u64,
    /// What the model calls cost: a decimal string.
    #[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]*[1-9])?$")]
    pub total_cost_usd: Usd,
    /// The first day's midnight.
    #[schema(value_type = String, format = DateTime)]
    pub period_start: Timestamp,
    /// Now.
    #[schema(value_type = String, format = DateTime)]
    pub period_end: Timestamp,
}

/// What the invocations of one UTC day add up to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DailyUsage {
    /// The day, such as `2026-03-01`.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// How many there are.
    pub invocation_count: u64,
    /// Tokens that went to models.
    pub input_tokens: u64,
    /// Tokens that came from models.
    pub output_tokens: u64,
    /// What the model calls cost: a decimal string.
    #[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]*[1-9])?$")]
    pub cost_usd: Usd,
}

/// Usage day by day.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DailyUsageList {
    /// Each day, oldest first; those without invocations too.
    pub daily_usage: Vec<DailyUsage>,
    /// How many days these are.
    pub total_days: u16,
}

impl Client {
    /// What the invocations of the last days add up to.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn usage(&self, filter: &UsageFilter) -> Result<Usage, ClientError> {
        self.json(self.request(Method::GET, &["usage"]).query(filter)).await
    }

    /// The same day by day.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn daily_usage(&self, filter: &UsageFilter) -> Result<DailyUsageList, ClientError> {
        self.json(self.request(Method::GET, &["usage", "daily"]).query(filter))
            .await
    }
}
