//! The statuses of an order and the ways between them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use utoipa::ToSchema;

/// A status that the services know. Events of peers may carry others; those are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Status {
    /// Just made; only a CREATE gives it.
    New,
    /// Waiting to be confirmed.
    Pending,
    /// The customer has an answer.
    Confirmed,
    /// Being packed.
    Processing,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Called off before it was shipped.
    Cancelled,
}

impl Status {
    /// Every status, in the order in which an order goes through them.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Pending,
        Self::Confirmed,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
    ];

    /// The canonical spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Processing => "processing",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether an order may go from `self` to `next`: forward, with jumps; cancelled from anything before
    /// shipped. The same status again changes nothing and is allowed.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (from, to) if from == to => true,
            (Self::Cancelled, _) => false,
            (from, Self::Cancelled) => (from as u8) < (Self::Shipped as u8),
            (from, to) => (from as u8) < (to as u8),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    /// Any case, white space around it, and the spelling `canceled`.
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("canceled") {
            return Ok(Self::Cancelled);
        }
        Self::ALL.into_iter().find(|status| text.eq_ignore_ascii_case(status.as_str())).ok_or(UnknownStatus)
    }
}

/// A text that is none of [`Status::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not one of new, pending, confirmed, processing, shipped, delivered, cancelled")]
pub struct UnknownStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_any_case() {
        assert_eq!("Confirmed".parse(), Ok(Status::Confirmed));
        assert_eq!(" SHIPPED ".parse(), Ok(Status::Shipped));
        assert_eq!("canceled".parse(), Ok(Status::Cancelled));
        assert_eq!("done".parse::<Status>(), Err(UnknownStatus));
    }

    #[test]
    fn orders_go_forward_and_are_cancelled_only_before_shipping() {
        use Status::*;
        assert!(New.may_become(Pending) && New.may_become(Delivered) && Pending.may_become(Shipped));
        assert!(Confirmed.may_become(Confirmed));
        assert!(!Shipped.may_become(Pending) && !Delivered.may_become(New));
        assert!(New.may_become(Cancelled) && Processing.may_become(Cancelled));
        assert!(!Shipped.may_become(Cancelled) && !Delivered.may_become(Cancelled));
        assert!(Status::ALL.iter().all(|next| *next == Cancelled || !Cancelled.may_become(*next)));
    }
}
