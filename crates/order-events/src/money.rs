//! Money: exact decimals in code, doubles on the wire.

use rust_decimal::{Decimal, RoundingStrategy};

/// Whether a double from the wire is an amount of money: any finite one.
pub(crate) fn is_amount(wire: f64) -> bool {
    wire.is_finite()
}

/// The decimal that a double from the wire stands for: the shortest one that is read back as that double,
/// which is what was written, so 59.98 is exactly 59.98. `None` if it is no amount or is beyond
/// what a [`Decimal`] holds, 7.9e28; below 1e-28 it is zero.
pub fn from_wire(wire: f64) -> Option<Decimal> {
    if is_amount(wire) { wire.to_string().parse().ok() } else { None }
}

/// The double nearest to `amount`. By way of text, which is read exactly; `Decimal::to_f64` is not
/// always the nearest, and by 1e13 off by a cent.
pub fn to_wire(amount: Decimal) -> f64 {
    amount.to_string().parse().unwrap_or(f64::NAN)
}

/// Rounds half up to cents (away from zero, for amounts below it).
pub fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wire_amount_is_the_decimal_that_was_written() {
        assert_eq!(from_wire(59.98).unwrap().to_string(), "59.98");
        assert_eq!(from_wire(0.1).unwrap().to_string(), "0.1");
        assert_eq!(from_wire(-0.0).unwrap(), Decimal::ZERO);
        assert_eq!(from_wire(5e-324).unwrap(), Decimal::ZERO);
        assert_eq!(from_wire(f64::NAN), None);
        assert_eq!(from_wire(1e28).unwrap().to_string(), "10000000000000000000000000000");
        assert_eq!(from_wire(1e29), None);
    }

    #[test]
    fn halves_of_a_cent_round_up() {
        let round = |text: &str| round_to_cents(text.parse().unwrap()).to_string();
        assert_eq!(round("1.005"), "1.01");
        assert_eq!(round("1.0049999"), "1.00");
        assert_eq!(round("2.675"), "2.68");
        assert_eq!(round("-1.005"), "-1.01");
    }

    proptest! {
        #[test]
        fn cents_up_to_7e13_survive_the_wire(cents in -7_000_000_000_000_000_i64..=7_000_000_000_000_000) {
            let amount = Decimal::new(cents, 2);
            prop_assert_eq!(from_wire(to_wire(amount)), Some(amount));
        }

        #[test]
        fn every_amount_within_range_has_a_decimal(wire in -7.9e28..7.9e28) {
            let amount = from_wire(wire).unwrap();
            prop_assert!((to_wire(amount) - wire).abs() <= wire.abs() * 1e-15 + 1e-27);
        }
    }
}
