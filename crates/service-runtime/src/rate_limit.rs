//! `RATE_LIMIT`: so many requests a second for each client's address, or its network for IPv6.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::overload::is_probe;
use crate::problem::{Problem, ProblemType};

/// After so many requests, addresses that were not seen for a while are forgotten: memory stays bounded.
const REQUESTS_BETWEEN_CLEANUPS: usize = 10_000;

/// What is left to each address.
#[derive(Clone)]
pub(crate) struct Rates(Arc<Inner>);

struct Inner {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    requests: AtomicUsize,
}

impl Rates {
    /// `limit` requests a second, and as many at once.
    pub(crate) fn new(limit: NonZeroU32) -> Self {
        Self::of(Quota::per_second(limit))
    }

    fn of(quota: Quota) -> Self {
        Self(Arc::new(Inner { limiter: RateLimiter::keyed(quota), requests: AtomicUsize::new(0) }))
    }

    /// Takes one request of an address; how long it should wait if it has none left.
    fn take(&self, client: IpAddr) -> Result<(), Duration> {
        let Inner { limiter, requests } = &*self.0;
        if requests.fetch_add(1, Ordering::Relaxed) % REQUESTS_BETWEEN_CLEANUPS == 0 {
            limiter.retain_recent();
        }
        limiter
            .check_key(&network(client))
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// A client has a whole /64 of IPv6 addresses to choose from (RFC 6177).
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Middleware: a client that asks too often is told when to come back (RFC 6585, section 4). Health and metrics
/// are always answered.
pub(crate) async fn limit(State(rates): State<Rates>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip());
    let wait = client.filter(|_| !is_probe(request.uri().path())).and_then(|client| rates.take(client).err());
    match wait {
        None => next.run(request).await,
        Some(wait) => {
            let detail = "This address has sent more requests than it may in a second. Wait, then go on.";
            Problem::new(ProblemType::TOO_MANY_REQUESTS, detail).retry_after(wait).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests, and no further one as long as a test can take.
    fn once(limit: u32) -> Rates {
        Rates::of(Quota::per_hour(NonZeroU32::MIN).allow_burst(NonZeroU32::new(limit).unwrap()))
    }

    #[test]
    fn each_address_has_its_own_share() {
        let rates = once(2);
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert!(rates.take(one).is_ok() && rates.take(one).is_ok());
        let wait = rates.take(one).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_hours(1), "{wait:?}");
        assert!(rates.take(other).is_ok());
        assert!(rates.take("::ffff:10.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn the_addresses_of_one_network_share() {
        let rates = once(1);
        let take = |address: &str| rates.take(address.parse().unwrap()).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::2") && take("2001:db8:0:1::1"));
    }
}
