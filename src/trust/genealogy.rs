//! Variances from who descends from whom: docs/maths.md (11.1), (11.2).

/// A finished group, as its variances need it.
#[derive(Clone, Copy, Debug)]
pub struct Cloud<'a> {
    /// Weights that sum to one, `[slots]`.
    pub weights: &'a [f64],
    /// The particle of an earlier time that each descends from, `[slots]`, all below `slots`.
    pub roots: &'a [u32],
    /// See [`correction`].
    pub correction: f64,
}

/// What pairs of distinct slots lost to parents in common: (N/(N - 1))^(n + 1) after n resamplings of N particles that
/// drew every slot by itself (multinomial). Schemes that spread their draws lose fewer; for them n is 0, which makes a
/// variance too large rather than too small.
pub fn correction(slots: usize, resamplings: usize) -> f64 {
    let n = slots as f64;
    (n / (n - 1.0)).powf(resamplings as f64 + 1.0)
}

impl Cloud<'_> {
    /// The weight of each family, `[slots]`.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.roots.len()];
        for (&root, weight) in self.roots.iter().zip(self.weights) {
            shares[root as usize] += weight;
        }
        shares
    }

    /// Families, as many as there would be if all weighed the same.
    pub fn effective_roots(&self) -> f64 {
        1.0 / self.shares().iter().map(|s| s * s).sum::<f64>()
    }

    /// Estimated variance of Z^/Z. Where it is small and the scheme is multinomial it may come out below zero; then
    /// it is taken without the correction, which is on the safe side.
    pub fn log_z_variance(&self) -> f64 {
        let apart = 1.0 - 1.0 / self.effective_roots();
        let variance = 1.0 - self.correction * apart;
        if variance > 0.0 { variance } else { (1.0 - correction(self.roots.len(), 0) * apart).max(0.0) }
    }

    /// Weighted mean of `values`, and its estimated variance.
    pub fn mean(&self, values: impl Fn(usize) -> f64) -> (f64, f64) {
        let mean: f64 = self.weights.iter().enumerate().map(|(i, w)| w * values(i)).sum();
        let mut families = vec![0.0; self.roots.len()];
        for (i, (&root, weight)) in self.roots.iter().zip(self.weights).enumerate() {
            families[root as usize] += weight * (values(i) - mean);
        }
        (mean, self.correction * families.iter().map(|f| f * f).sum::<f64>())
    }
}

/// The parents of every step, on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Genealogy {
    /// `[steps, groups, slots]`: the slot within its group from which the particle in a slot descends, as chosen after
    /// each step; itself where the group was not resampled.
    pub parents: Vec<u32>,
    /// Independent groups.
    pub groups: usize,
    /// Particles of a group.
    pub slots: usize,
}

impl Genealogy {
    /// Steps.
    pub fn steps(&self) -> usize {
        self.parents.len() / (self.groups * self.slots).max(1)
    }

    /// The parents that group `group` chose after step `step`.
    pub fn row(&self, step: usize, group: usize) -> &[u32] {
        &self.parents[(step * self.groups + group) * self.slots..][..self.slots]
    }

    /// Adds the groups of another run of as many steps and slots.
    pub fn append(&mut self, more: &Self) {
        let [own, other] = [self.groups, more.groups].map(|groups| groups * self.slots);
        let rows = self.parents.chunks(own.max(1)).zip(more.parents.chunks(other.max(1)));
        self.parents = rows.flat_map(|(own, other)| own.iter().chain(other)).copied().collect();
        self.groups += more.groups;
    }

    /// Ancestors, before the choice after step `from`, of the particles that enter step `to`.
    pub fn ancestors(&self, group: usize, from: usize, to: usize) -> Vec<u32> {
        let mut ancestors: Vec<u32> = (0..self.slots as u32).collect();
        for step in (from..to).rev() {
            let row = self.row(step, group);
            ancestors.iter_mut().for_each(|ancestor| *ancestor = row[*ancestor as usize]);
        }
        ancestors
    }

    /// Slots through which the particle that is in `slot` after the last step came: element s is where it was during
    /// step s.
    pub fn path(&self, group: usize, slot: usize) -> Vec<u32> {
        let steps = self.steps();
        let mut path = vec![slot as u32; steps];
        for step in (1..steps).rev() {
            path[step - 1] = self.row(step - 1, group)[path[step] as usize];
        }
        path
    }

    /// Particles of the start that have descendants during each step.
    pub fn distinct_roots(&self, group: usize) -> Vec<usize> {
        let mut roots: Vec<u32> = (0..self.slots as u32).collect();
        (0..self.steps())
            .map(|step| {
                if step > 0 {
                    roots = self.row(step - 1, group).iter().map(|&parent| roots[parent as usize]).collect();
                }
                let mut seen = vec![false; self.slots];
                roots.iter().for_each(|&root| seen[root as usize] = true);
                seen.iter().filter(|&&seen| seen).count()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three families of four particles: {0, 1}, {2}, {3}.
    const WEIGHTS: [f64; 4] = [0.1, 0.2, 0.3, 0.4];
    const ROOTS: [u32; 4] = [1, 1, 3, 0];

    #[test]
    fn by_hand() {
        let cloud = Cloud { weights: &WEIGHTS, roots: &ROOTS, correction: correction(4, 1) };
        assert!((cloud.correction - 16.0 / 9.0).abs() < 1.0e-12);
        // Shares .4, .3, .3 of the roots 0, 1, 3: squares .34.
        let shares = cloud.shares();
        assert!(shares.iter().zip([0.4, 0.3, 0.0, 0.3]).all(|(a, b)| (a - b).abs() < 1.0e-12));
        assert!((cloud.effective_roots() - 1.0 / 0.34).abs() < 1.0e-12);
        // 1 - 16/9 0.66 is below zero; without the resampling it is 1 - 4/3 0.66.
        assert!((cloud.log_z_variance() - 0.12).abs() < 1.0e-12);
        // Values 1, 2, 3, 4: mean 3; families -0.4, 0, 0.4.
        let (mean, variance) = cloud.mean(|i| i as f64 + 1.0);
        assert!((mean - 3.0).abs() < 1.0e-12);
        assert!((variance - 16.0 / 9.0 * 0.32).abs() < 1.0e-12);
    }

    /// The definition: a sum over all pairs of different families.
    #[test]
    fn by_brute_force() {
        let slots = 60;
        let raw: Vec<f64> = (0..slots).map(|i| 1.0 + f64::from((i * 37 % 23) as u32)).collect();
        let total: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / total).collect();
        let roots: Vec<u32> = (0..slots).map(|i| (i * i % 17) as u32).collect();
        let value = |i: usize| ((i * 13 % 29) as f64).sin();
        let cloud = Cloud { weights: &weights, roots: &roots, correction: correction(slots, 0) };
        let pairs = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..slots)
                .flat_map(|i| (0..slots).map(move |j| (i, j)))
                .filter(|&(i, j)| roots[i] != roots[j])
                .map(|(i, j)| f(i) * f(j))
                .sum()
        };
        let factor = 60.0 / 59.0;
        let wanted = 1.0 - factor * pairs(&|i| weights[i]);
        assert!((cloud.log_z_variance() - wanted).abs() < 1.0e-12);
        let (mean, variance) = cloud.mean(value);
        let wanted = -factor * pairs(&|i| weights[i] * (value(i) - mean));
        assert!((variance - wanted).abs() < 1.0e-12);
    }

    /// Without resampling they are what importance sampling says: the sample variance of the weights over N and the
    /// mean's delta method.
    #[test]
    fn without_resampling() {
        let n = 50;
        let raw: Vec<f64> = (0..n).map(|i| (0.1 * i as f64).exp()).collect();
        let mean = raw.iter().sum::<f64>() / n as f64;
        let spread = raw.iter().map(|w| (w / mean - 1.0).powi(2)).sum::<f64>() / (n as f64 - 1.0);
        let weights: Vec<f64> = raw.iter().map(|w| w / mean / n as f64).collect();
        let roots: Vec<u32> = (0..n as u32).collect();
        let cloud = Cloud { weights: &weights, roots: &roots, correction: correction(n, 0) };
        assert!((cloud.log_z_variance() - spread / n as f64).abs() < 1.0e-12);
        let (m, variance) = cloud.mean(|i| i as f64);
        let wanted: f64 = (0..n).map(|i| (weights[i] * (i as f64 - m)).powi(2)).sum();
        assert!((variance - wanted * 50.0 / 49.0).abs() < 1.0e-9);
    }

    #[test]
    fn a_genealogy_is_walked() {
        // Two groups of three, three steps; the second group is never resampled.
        let parents = vec![0, 0, 2, 0, 1, 2, 1, 2, 2, 0, 1, 2, 0, 0, 1, 0, 1, 2];
        let all = Genealogy { parents, groups: 2, slots: 3 };
        assert_eq!(all.steps(), 3);
        assert_eq!(all.row(1, 0), [1, 2, 2]);
        // Into step 2 come the children of step 1: 1, 2, 2, who come from 0, 2, 2.
        assert_eq!(all.ancestors(0, 0, 2), [0, 2, 2]);
        assert_eq!(all.ancestors(0, 1, 2), [1, 2, 2]);
        assert_eq!(all.ancestors(0, 2, 2), [0, 1, 2]);
        assert_eq!(all.path(0, 0), [0, 1, 0]);
        assert_eq!(all.path(0, 2), [2, 2, 2]);
        assert_eq!(all.distinct_roots(0), [3, 2, 2]);
        let alone = |group: usize| {
            let parents = (0..3).flat_map(|step| all.row(step, group)).copied().collect();
            Genealogy { parents, groups: 1, slots: 3 }
        };
        let mut joined = alone(0);
        joined.append(&alone(1));
        assert_eq!(joined, all);
        assert_eq!((all.path(1, 1), all.distinct_roots(1)), (vec![1, 1, 1], vec![3, 3, 3]));
    }
}
