//! The launches over frames.

use super::kernel_frames::{
    FrameSizesLaunch, turn_back_kernel, turn_kernel, views_back_kernel, views_kernel,
};
use super::launch::{Values, allows};
use super::network::{Network, lanes};
use super::plan::{Frames, OfFrames};
use crate::device::Device;
use crate::error::Result;
use crate::models::layers::{FRAME, SEEN};
use crate::passes::Sharing;

impl Network {
    pub(super) fn frames(&self, device: &Device, of: &Frames, values: &Values) -> Result<()> {
        let (lanes, sharing, runs) = (lanes(device), Sharing::apart(device), device.is_cpu());
        let (vectors, frames, places) = (values.n / lanes, of.frames, of.places);
        allows(device, "frames, and numbers of a place", frames + places)?;
        let sizes = FrameSizesLaunch::new(frames as u32, places as u32, vectors as u32);
        let (client, dim) = (device.client(), sharing.dim());
        let cubes = |items: usize| sharing.cubes(device, items * vectors);
        let [x, y, z, w] =
            [0, 1, 2, 3].map(|i| values.reads.get(i).copied().unwrap_or(&self.nothing).arg_of(lanes));
        let out = values.writes[0].arg_of(lanes);
        let (state, pairs, six) = (FRAME * frames, frames * frames, 6 * frames);
        let (read, written) = match of.what {
            OfFrames::Views(at) | OfFrames::ViewsAlong(at) => {
                let along = matches!(of.what, OfFrames::ViewsAlong(_));
                let table = self.places[at].arg();
                views_kernel::launch(client, cubes(pairs), dim, lanes, x, y, table, out, sizes, along, runs);
                (if along { 2 * state } else { state }, (SEEN + places) * pairs)
            }
            OfFrames::ViewsBack => {
                views_back_kernel::launch(client, cubes(frames), dim, lanes, x, y, out, sizes, runs);
                (state + SEEN * pairs, state)
            }
            OfFrames::Turn | OfFrames::TurnAlong => {
                let along = of.what == OfFrames::TurnAlong;
                turn_kernel::launch(client, cubes(frames), dim, lanes, x, y, z, w, out, sizes, along, runs);
                (if along { 2 } else { 1 } * (state + six), six)
            }
            OfFrames::TurnBack => {
                let of_v = values.writes[1].arg_of(lanes);
                let cubes = cubes(frames);
                turn_back_kernel::launch(client, cubes, dim, lanes, x, y, z, out, of_v, sizes, runs);
                (state + 2 * six, state + six)
            }
        };
        device.launched(values.work(read, written))
    }
}
