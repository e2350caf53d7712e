//! Check, configure, launch.

use super::kernel::{RetainKey, retain_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::methods::{Compose, Method, Plain};
use crate::passes::init::Start;
use crate::passes::step::{Carried, Keeps, Named};
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::Population;

/// Everything the launch binds.
#[derive(Debug, Clone, Copy)]
pub struct Retain<'a> {
    /// Where slot 0 is, `[levels, groups, dim]`.
    pub path: &'a Buf<f32>,
    /// The state that the step left.
    pub before: &'a Carried,
    /// Where the particles are now.
    pub after: &'a Carried,
    /// What is kept of them.
    pub keeps: Keeps,
    /// Rows `[particles, dim]` for a model outside; one cell where there is none.
    pub rows: &'a Buf<f32>,
    /// There is one.
    pub outside: bool,
    /// Group records.
    pub norms: &'a Buf<f32>,
    /// Coefficient table.
    pub coeffs: &'a Buf<f32>,
    /// Law of the start.
    pub start: &'a Start,
    /// Sizes.
    pub of: &'a Population,
}

impl Retain<'_> {
    /// Puts slot 0 where the path begins: after the draw of the start, before the first models.
    pub fn begin(&self, device: &Device) -> Result<()> {
        self.go::<Plain>(device, 0, true)
    }

    /// Puts slot 0 where the path is after step `step`: after the move, before the models. Without a number, the step
    /// that `before` holds.
    pub fn launch(&self, device: &Device, method: Named, step: Option<usize>) -> Result<()> {
        let step = step.map_or(Number::Kept(&self.before.clock), Number::Given).word();
        match method {
            Named::Plain => self.go::<Plain>(device, step, false),
            Named::Compose if !self.keeps.follows => self.go::<Compose>(device, step, false),
            _ => Err(argument("retained path", "a method that follows", "a product of constant powers")),
        }
    }

    fn go<M: Method>(&self, device: &Device, step: u32, start: bool) -> Result<()> {
        let (of, keeps) = (self.of, &self.keeps);
        let levels = if step == u32::MAX || start { 1 } else { step as usize + 2 };
        let found = self.path.len();
        if found < levels * of.groups * of.dim {
            return Err(argument("path", found, levels * of.groups * of.dim));
        }
        if self.start.mean.len() != of.dim {
            return Err(argument("start mean", self.start.mean.len(), format!("{} coordinates", of.dim)));
        }
        let key = RetainKey {
            start,
            weighs: keeps.weighed && (start || keeps.exact || keeps.twist.is_some()),
            models: keeps.models,
            twisted: keeps.twist,
            rows: self.outside,
            layout: device.layout(),
        };
        let sharing = Sharing::apart(device);
        // A launch binds something, whether it reads it or not.
        let row = if start { device.upload("start", &self.start.row())? } else { self.coeffs.clone() };
        retain_kernel::launch::<M>(
            device.client(),
            sharing.cubes(device, of.groups),
            sharing.dim(),
            of.lanes,
            self.path.arg(),
            self.before.arg(),
            self.after.arg(),
            self.rows.arg(),
            self.norms.arg(),
            self.coeffs.arg(),
            row.arg(),
            of.arg(),
            step,
            key,
            keeps.element.kind(),
        );
        device.launched(work(of, keeps))
    }
}

/// Bytes of a launch.
pub fn work(of: &Population, keeps: &Keeps) -> Work {
    let x = (of.groups * of.dim) as u64;
    let scores = if keeps.exact || keeps.twist.is_some() { keeps.score_rows() as u64 } else { 0 };
    let state = keeps.element.bytes() as u64;
    let numbers = 4 * of.groups as u64;
    Work { read: x * (4 + state * scores) + 2 * numbers, written: x * state + numbers }
}
