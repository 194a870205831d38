//! Usage: what invocations add up to, by UTC day.

use castari_common::usage::{DailyUsage, DailyUsageList, Usage, UsageFilter};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Platform, PlatformError};
use crate::store::agents;
use crate::store::invocations::Owner;
use crate::store::usage::{self, Day, Sums};

/// Days in a row, and what the invocations of those add up to that have any.
struct Period {
    first: Day,
    days: u16,
    sums: Vec<(Day, Sums)>,
    /// When it was looked.
    now: Timestamp,
}

impl Platform {
    /// What a user's invocations of the last days add up to, those of one agent where `filter` names it; `None` where
    /// there is no such agent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, user_id: &str, filter: UsageFilter) -> Result<Option<Usage>, PlatformError> {
        Ok(self.period(user_id, filter).await?.map(|period| period.total()))
    }

    /// The same day by day.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn daily_usage(
        &self,
        user_id: &str,
        filter: UsageFilter,
    ) -> Result<Option<DailyUsageList>, PlatformError> {
        Ok(self.period(user_id, filter).await?.map(|period| period.daily()))
    }

    async fn period(&self, user_id: &str, filter: UsageFilter) -> Result<Option<Period>, PlatformError> {
        let (user_id, days, now) = (user_id.to_owned(), filter.days, self.world.now());
        let last = Day::of(now);
        let first = last.plus(1 - i64::from(days));
        let summed = self.store.read(move |read| {
            let owner = match &filter.agent {
                None => Some(Owner::User(user_id)),
                Some(slug) => agents::by_slug(read, &user_id, slug)?.map(|agent| Owner::Agent(agent.id)),
            };
            owner.map(|owner| usage::by_day(read, &owner, first, last)).transpose()
        });
        Ok(summed.await?.map(|sums| Period { first, days, sums, now }))
    }
}

impl Period {
    fn total(&self) -> Usage {
        let sums = || self.sums.iter().map(|(_, sums)| sums);
        Usage {
            total_invocations: sums().map(|sums| sums.invocations).sum(),
            total_input_tokens: sums().map(|sums| sums.input_tokens).sum(),
            total_output_tokens: sums().map(|sums| sums.output_tokens).sum(),
            total_cost_usd: sums().map(|sums| sums.cost).sum(),
            period_start: self.first.midnight(),
            period_end: self.now,
        }
    }

    fn daily(&self) -> DailyUsageList {
        let mut sums = self.sums.iter().peekable();
        let day = |number: u16| {
            let day = self.first.plus(number.into());
            let sums = sums
                .next_if(|(summed, _)| *summed == day)
                .map_or_else(Sums::default, |(_, sums)| *sums);
            DailyUsage {
                date: TimeZone::UTC.to_datetime(day.midnight()).date(),
                invocation_count: sums.invocations,
                input_tokens: sums.input_tokens,
                output_tokens: sums.output_tokens,
                cost_usd: sums.cost,
            }
        };
        DailyUsageList {
            daily_usage: (0..self.days).map(day).collect(),
            total_days: self.days,
        }
    }
}
