//! Minimum cut between a source and a sink that hang on the vertices of a sparse graph.

pub mod cpu;

use crate::ragged::Ragged;

/// A flow network on V vertices and A arcs. The arcs to and from the terminals are folded into `excess`.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The arcs that leave each vertex, `[V]`.
    pub arcs: Ragged<Arc>,
    /// Flow that the source can still push into each vertex, or (negative) that the sink can still take from it, `[V]`.
    pub excess: Vec<f32>,
}

/// A directed arc and what it can still carry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arc {
    /// The vertex that it enters.
    pub head: u32,
    /// Place among all arcs of that between the same vertices in the other direction.
    pub reverse: u32,
    /// Capacity that is left, not negative.
    pub residual: f32,
}

#[cfg(test)]
mod tests {
    use super::{Arc, Network, cpu::min_cut};
    use inputs::Random;

    /// Undirected edges (u, v, capacity) as a network.
    fn network(excess: &[f32], edges: &[(usize, usize, f32)]) -> Network {
        let n = excess.len();
        let mut rows: Vec<Vec<(usize, f32)>> = vec![vec![]; n];
        for &(u, v, capacity) in edges {
            rows[u].push((v, capacity));
            rows[v].push((u, capacity));
        }
        let first = |v: usize| rows[..v].iter().map(Vec::len).sum::<usize>();
        let arcs_of = |(u, row): (usize, &Vec<(usize, f32)>)| -> Vec<Arc> {
            let arc = |&(v, residual): &(usize, f32)| {
                let back = first(v) + rows[v].iter().position(|&(w, _)| w == u).unwrap();
                Arc { head: v as u32, reverse: back as u32, residual }
            };
            row.iter().map(arc).collect()
        };
        Network { arcs: rows.iter().enumerate().map(arcs_of).collect(), excess: excess.to_vec() }
    }

    /// Cost of a cut: excess left on the wrong side plus capacity across.
    fn cost(excess: &[f32], edges: &[(usize, usize, f32)], sink: &[bool]) -> f64 {
        let terminal =
            excess.iter().zip(sink).map(|(&e, &s)| if (e > 0.0) == s { e.abs() as f64 } else { 0.0 });
        let across = edges.iter().map(|&(u, v, c)| if sink[u] != sink[v] { c as f64 } else { 0.0 });
        terminal.sum::<f64>() + across.sum::<f64>()
    }

    fn best(excess: &[f32], edges: &[(usize, usize, f32)]) -> f64 {
        let n = excess.len();
        (0..1u32 << n)
            .map(|set| cost(excess, edges, &(0..n).map(|v| set >> v & 1 == 1).collect::<Vec<_>>()))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn equals_brute_force_also_after_a_change_of_excess() {
        let mut random = Random(3);
        for case in 0..600 {
            let n = 1 + case % 10;
            // Small whole numbers make ties, and arcs that one path fills together.
            let whole = case % 3 == 0;
            let mut value = |span: f32, shift: f32| {
                let x = random.uniform() * span - shift;
                if whole { x.round() } else { x }
            };
            let mut edges = vec![];
            for u in 0..n {
                for v in u + 1..n {
                    let capacity = value(4.0, 2.0);
                    if capacity > 0.0 {
                        edges.push((u, v, capacity));
                    }
                }
            }
            let excess: Vec<f32> = (0..n).map(|_| value(8.0, 4.0)).collect();
            let mut net = network(&excess, &edges);
            let sink = min_cut(&mut net);
            assert!((cost(&excess, &edges, &sink) - best(&excess, &edges)).abs() < 1e-4, "case {case}");
            let later: Vec<f32> = (0..n).map(|_| value(8.0, 4.0)).collect();
            for v in 0..n {
                net.excess[v] += later[v] - excess[v];
            }
            let sink = min_cut(&mut net);
            assert!((cost(&later, &edges, &sink) - best(&later, &edges)).abs() < 1e-4, "case {case}, warm");
        }
    }

    #[test]
    fn cut_equals_flow_and_warm_equals_cold() {
        let mut random = Random(5);
        // Small whole numbers: sums are exact.
        let mut whole = |span: u32| random.below(span) as f32;
        let (n, width) = (600, 25);
        for case in 0..40 {
            let mut edges = vec![];
            for v in 0..n {
                edges.extend([v + 1, v + width].iter().filter(|&&w| w < n).map(|&w| (v, w, 1.0 + whole(4))));
            }
            let [before, after] = [(); 2].map(|()| (0..n).map(|_| whole(15) - 7.0).collect::<Vec<f32>>());
            let mut cold = network(&after, &edges);
            let sink = min_cut(&mut cold);
            let positive = |excess: &[f32]| excess.iter().map(|&e| e.max(0.0) as f64).sum::<f64>();
            assert_eq!(cost(&after, &edges, &sink), positive(&after) - positive(&cold.excess), "case {case}");
            let mut warm = network(&before, &edges);
            min_cut(&mut warm);
            for v in 0..n {
                warm.excess[v] += after[v] - before[v];
            }
            assert_eq!(min_cut(&mut warm), sink, "case {case}");
        }
    }

    #[test]
    fn of_nothing() {
        assert!(min_cut(&mut Network::default()).is_empty());
    }
}
