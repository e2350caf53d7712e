//! The launches that look at one number at a time, or move numbers.

use super::ask::Batch;
use super::kernel_point::{
    Form, PointKey, PointSizesLaunch, join_kernel, part_kernel, point_kernel, sums_kernel, upsample_kernel,
};
use super::launch::{Values, allows, at_once};
use super::network::{Network, lanes};
use super::plan::{Plan, Point, Step, What};
use crate::device::Device;
use crate::error::Result;
use crate::models::layers::Extent;
use crate::passes::Sharing;

impl Network {
    pub(super) fn point(&self, device: &Device, point: &Point, values: &Values, batch: &Batch) -> Result<()> {
        let (lanes, sharing) = (lanes(device), Sharing::apart(device));
        let vectors = batch.n / lanes;
        let key = PointKey {
            form: point.form,
            by: point.by,
            other: point.other,
            vectors: at_once(device, vectors),
            runs: device.is_cpu(),
        };
        let row = point.rows.map(|rows| self.row(rows, batch));
        if let Some(row) = &row {
            row.check("scales and shifts", 2 * point.extent.channels)?;
        }
        let (first, numbers, level) =
            row.as_ref().map_or((0, 0, 0), |row| (row.first(), row.level_numbers(), row.level.word()));
        let nothing = [&self.nothing; 3];
        // The first, the second where there is one beside what is added, and that.
        let (own, added) = values.reads.split_at(values.reads.len() - usize::from(point.other));
        let [x, second, other] = [own.first(), own.get(1), added.first()];
        let [x, second, other] =
            [x, second, other].map(|value| value.copied().unwrap_or(nothing[0]).arg_of(lanes));
        let sizes = PointSizesLaunch::new(
            point.extent.channels as u32,
            point.extent.pixels() as u32,
            vectors as u32,
            first as u32,
            numbers as u32,
            level,
            point.scale as f32,
            point.shift as f32,
        );
        point_kernel::launch(
            device.client(),
            sharing.cubes(device, point.extent.numbers() * vectors / key.vectors),
            sharing.dim(),
            lanes,
            x,
            second,
            other,
            values.writes[0].arg_of(lanes),
            row.as_ref().map_or(&self.levels, |row| row.table).arg(),
            row.as_ref().map_or(&self.spare, |row| row.level.cell(&self.spare)).arg(),
            sizes,
            key,
        );
        let numbers = point.extent.numbers();
        let slope = usize::from(matches!(point.form, Form::Slope(_)));
        let read = usize::from(point.form != Form::Nothing) + slope + usize::from(point.other);
        device.launched(values.work(read * numbers, numbers))
    }

    /// Joins, parts and repetitions.
    pub(super) fn moved(&self, device: &Device, plan: &Plan, step: &Step, values: &Values) -> Result<()> {
        let (lanes, sharing, runs) = (lanes(device), Sharing::apart(device), device.is_cpu());
        let vectors = values.n / lanes;
        let numbers = plan.numbers[step.writes[0]];
        let (client, dim) = (device.client(), sharing.dim());
        let cubes = |numbers: usize| sharing.cubes(device, numbers * vectors);
        let x = values.reads[0].arg_of(lanes);
        let out = values.writes[0].arg_of(lanes);
        let other = |there: bool| if there { values.reads[1] } else { &self.nothing }.arg_of(lanes);
        let count = |numbers: usize| (numbers * vectors) as u32;
        let added = |there: bool| numbers * usize::from(there);
        match step.what {
            What::Join => {
                let cut = plan.numbers[step.reads[0]];
                let (y, cut, all) = (values.reads[1].arg_of(lanes), count(cut), count(numbers));
                join_kernel::launch(client, cubes(numbers), dim, lanes, x, y, out, cut, all, runs);
                device.launched(values.work(numbers, numbers))
            }
            What::Part { first, other: adds } => {
                let (from, all, more) = (count(first), count(numbers), other(adds));
                part_kernel::launch(client, cubes(numbers), dim, lanes, x, more, out, from, all, adds, runs);
                device.launched(values.work(numbers + added(adds), numbers))
            }
            What::Upsample { from: small } | What::UpsampleBack { to: small, .. } => {
                let adds = matches!(step.what, What::UpsampleBack { other: true, .. });
                let back = matches!(step.what, What::UpsampleBack { .. });
                let (few, width) = (small.numbers() as u32, small.width as u32);
                let (more, of) = (other(adds), vectors as u32);
                let cubes = cubes(small.numbers());
                upsample_kernel::launch(
                    client, cubes, dim, lanes, x, more, out, few, width, of, back, adds, runs,
                );
                let read = plan.numbers[step.reads[0]] + added(adds);
                device.launched(values.work(read, numbers))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sums(&self, device: &Device, extent: Extent, both: bool, values: &Values) -> Result<()> {
        let (lanes, sharing) = (lanes(device), Sharing::apart(device));
        let vectors = values.n / lanes;
        allows(device, "pixels to be summed", extent.pixels())?;
        sums_kernel::launch(
            device.client(),
            sharing.cubes(device, extent.channels * vectors),
            sharing.dim(),
            lanes,
            values.reads[0].arg_of(lanes),
            if both { values.reads[1] } else { &self.nothing }.arg_of(lanes),
            values.writes[0].arg_of(lanes),
            extent.channels as u32,
            extent.pixels() as u32,
            vectors as u32,
            1.0,
            both,
            device.is_cpu(),
        );
        let parts = 1 + usize::from(both);
        device.launched(values.work(parts * extent.numbers(), parts * extent.channels))
    }
}
