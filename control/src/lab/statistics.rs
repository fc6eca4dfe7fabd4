//! Medians and ratios.

/// Median of the finite values; between the two middle ones of an even count.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 {
        Some(*upper)
    } else {
        Some(f64::midpoint(values[middle - 1], *upper))
    }
}

/// `above / below`; nothing where there is nothing to divide by.
pub fn quotient(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![f64::NAN, 1.0]), Some(1.0));
    }

    #[test]
    fn quotients() {
        assert_eq!(quotient(3.0, 2.0), Some(1.5));
        assert_eq!(quotient(3.0, 0.0), None);
        assert_eq!(quotient(3.0, f64::NAN), None);
    }
}
