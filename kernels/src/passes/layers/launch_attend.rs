//! The launches of attention.

use super::graph::Do;
use super::kernel_attend::{AttendKey, AttendSizesLaunch, attend_kernel};
use super::kernel_attend_along::attend_along_kernel;
use super::kernel_attend_back::{attend_keys_kernel, attend_queries_kernel, attend_sums_kernel};
use super::launch::{Values, allows};
use super::network::{Network, lanes};
use super::plan::{Step, What};
use crate::device::Device;
use crate::error::Result;
use crate::passes::Sharing;

/// Pixels of a tile: on the CPU 16 products in registers, with what they are made of.
const CPU_TILE: usize = 4;
/// On a GPU 4 products of 4 particles each.
const GPU_TILE: usize = 2;

impl Network {
    pub(super) fn attend(&self, device: &Device, step: &Step, node: usize, values: &Values) -> Result<()> {
        let Do::Attention(heads) = self.graph.nodes[node].what else { return Ok(()) };
        let extent = self.graph.nodes[node].extent;
        let (lanes, sharing) = (lanes(device), Sharing::apart(device));
        let (vectors, channels) = (values.n / lanes, extent.channels / heads);
        let tile = if device.is_cpu() { CPU_TILE } else { GPU_TILE };
        let key = AttendKey { tile, runs: device.is_cpu() };
        let tiles = extent.pixels().div_ceil(tile);
        allows(device, "channels of all tiles of keys, five times", tiles * (5 * channels + 1))?;
        let cubes = sharing.cubes(device, heads * tiles * vectors);
        let sizes = AttendSizesLaunch::new(
            heads as u32,
            channels as u32,
            extent.pixels() as u32,
            vectors as u32,
            (1.0 / (channels as f64).sqrt()) as f32,
        );
        let (client, dim) = (device.client(), sharing.dim());
        let read = |i: usize| values.reads[i].arg_of(lanes);
        let out = values.writes[0].arg_of(lanes);
        let [q, k, v] = [read(0), read(1), read(2)];
        match step.what {
            What::Attend(_) => attend_kernel::launch(client, cubes, dim, lanes, q, k, v, out, sizes, key),
            What::AttendSums(_) => {
                attend_sums_kernel::launch(client, cubes, dim, lanes, q, k, v, read(3), out, sizes, key);
            }
            What::AttendQueries(_) => {
                let (slope, sums) = (read(3), read(4));
                attend_queries_kernel::launch(
                    client, cubes, dim, lanes, q, k, v, slope, sums, out, sizes, key,
                );
            }
            What::AttendKeys(_) => {
                let (slope, sums, out_v) = (read(3), read(4), values.writes[1].arg_of(lanes));
                attend_keys_kernel::launch(
                    client, cubes, dim, lanes, q, k, v, slope, sums, out, out_v, sizes, key,
                );
            }
            _ => {
                let (dq, dk, dv, value) = (read(3), read(4), read(5), read(6));
                attend_along_kernel::launch(
                    client, cubes, dim, lanes, q, k, v, dq, dk, dv, value, out, sizes, key,
                );
            }
        }
        let numbers = extent.numbers();
        let narrow = 2 * heads * extent.pixels();
        let (read, written) = match step.what {
            What::Attend(_) => (3 * numbers, numbers),
            What::AttendSums(_) => (4 * numbers, narrow),
            What::AttendQueries(_) => (4 * numbers + narrow, numbers),
            What::AttendKeys(_) => (4 * numbers + narrow, 2 * numbers),
            _ => (7 * numbers, numbers),
        };
        device.launched(values.work(read, written))
    }
}
