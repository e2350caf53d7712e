//! The launches over atoms and pairs of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::kernel_pairs::{
    PairSizesLaunch, Radial, both_kernel, gaps_kernel, move_kernel, pair_sums_kernel, radial_kernel,
};
use super::launch::{Values, allows};
use super::network::{Network, lanes};
use super::plan::{OfPairs, Pairs, Plan, What};
use crate::device::{Buf, Device};
use crate::error::Result;
use crate::models::layers::each_pair;
use crate::passes::Sharing;

impl Network {
    pub(super) fn pairs(&self, device: &Device, of: &Pairs, values: &Values) -> Result<()> {
        let (lanes, sharing, runs) = (lanes(device), Sharing::apart(device), device.is_cpu());
        let (vectors, pairs) = (values.n / lanes, of.atoms * (of.atoms - 1) / 2);
        allows(device, "atoms, and bumps of a distance", of.atoms + of.channels + 2 * of.space)?;
        let sizes = PairSizesLaunch::new(
            of.atoms as u32,
            pairs as u32,
            of.space as u32,
            of.channels as u32,
            vectors as u32,
        );
        let (client, dim, list) = (device.client(), sharing.dim(), self.lists[&of.atoms].arg());
        let cubes = |items: usize| sharing.cubes(device, items * vectors);
        let (own, added) = values.reads.split_at(values.reads.len() - usize::from(of.other));
        let [x, y] = [own.first(), own.get(1)].map(|v| v.copied().unwrap_or(&self.nothing).arg_of(lanes));
        let other = added.first().copied().unwrap_or(&self.nothing).arg_of(lanes);
        let out = values.writes[0].arg_of(lanes);
        let (adds, state, more) = (of.other, of.atoms * of.space, usize::from(of.other));
        let (read, written) = match of.what {
            OfPairs::Radial(_) => (state, of.channels * pairs),
            OfPairs::RadialBack(_) => (state + of.channels * pairs, pairs),
            OfPairs::RadialAlong(_) => (2 * state, of.channels * pairs),
            OfPairs::Move => (state + pairs + more * state, state),
            OfPairs::Gaps => (2 * state + more * pairs, pairs),
            OfPairs::Both => (of.channels * (of.atoms + more * pairs), of.channels * pairs),
            OfPairs::Sums => (of.channels * (pairs + more * of.atoms), of.channels * of.atoms),
        };
        match of.what {
            OfPairs::Radial(at) | OfPairs::RadialBack(at) | OfPairs::RadialAlong(at) => {
                let what = match of.what {
                    OfPairs::Radial(_) => Radial::Value,
                    OfPairs::RadialBack(_) => Radial::Back,
                    _ => Radial::Along,
                };
                let bumps = self.bumps[at].arg();
                let cubes = cubes(pairs);
                radial_kernel::launch(client, cubes, dim, lanes, x, y, bumps, list, out, sizes, what, runs);
            }
            OfPairs::Move => {
                move_kernel::launch(client, cubes(state), dim, lanes, x, y, other, out, sizes, adds, runs);
            }
            OfPairs::Gaps => {
                let cubes = cubes(pairs);
                gaps_kernel::launch(client, cubes, dim, lanes, x, y, other, list, out, sizes, adds, runs);
            }
            OfPairs::Both => {
                let cubes = cubes(of.channels * pairs);
                both_kernel::launch(client, cubes, dim, lanes, x, other, list, out, sizes, adds, runs);
            }
            OfPairs::Sums => {
                let cubes = cubes(of.channels * of.atoms);
                pair_sums_kernel::launch(client, cubes, dim, lanes, x, other, out, sizes, adds, runs);
            }
        }
        device.launched(values.work(read, written))
    }
}

/// The atoms of the pairs of every number of atoms in the plans.
pub(super) fn pair_lists<'a>(
    device: &Device,
    plans: impl Iterator<Item = &'a Plan>,
) -> Result<BTreeMap<usize, Buf<u32>>> {
    let mut lists = BTreeMap::new();
    for step in plans.flat_map(|plan| &plan.steps) {
        if let What::Pairs(pairs) = step.what {
            let both = |(i, j)| [i as u32, j as u32];
            let all: Vec<u32> = each_pair(pairs.atoms).flat_map(both).collect();
            if let Entry::Vacant(place) = lists.entry(pairs.atoms) {
                place.insert(device.upload("pairs of atoms", &all)?);
            }
        }
    }
    Ok(lists)
}
