//! What the record of a group's weights says: see the weights pass.

use feynkac_kernels::passes::weights::RECORD;

use crate::error::{Error, Result};

/// Refuses the record of one step of a group.
pub(crate) fn check_record(record: &[f32], step: usize, group: usize) -> Result<()> {
    match record[3] {
        decision if decision < -1.5 => {
            Err(Error::Run { step, group, what: "a log-weight is NaN or above 9e7" })
        }
        decision if decision < -0.5 => Err(Error::Run { step, group, what: "every weight is zero" }),
        _ => Ok(()),
    }
}

/// ln of the mean weight of `slots` particles, from what a record says of them.
pub(crate) fn log_mean([e, s, ..]: [f64; RECORD], slots: usize) -> f64 {
    e * std::f64::consts::LN_2 + s.ln() - (slots as f64).ln()
}
