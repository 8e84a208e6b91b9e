//! Cuts one component in two by minimum cuts: the forward step of cut pursuit.

use super::{
    Options,
    graph::Graph,
    max_flow::{self, Arc, Network},
    region::Region,
    squared_distance, two_means,
};
use crate::{ops::basic::components::cpu::connected, ragged::Ragged};

/// The connected parts of the best cut of one component: part of each member and their number; `None` if no cut was
/// found that lowers the energy.
pub(super) fn split<const D: usize>(
    graph: &Graph,
    features: &[[f32; D]],
    members: &[u32],
    labels: &[u32],
    place: &[u32],
    options: &Options,
) -> Option<(Vec<u32>, usize)> {
    let own: Vec<[f32; D]> = members.iter().map(|&v| features[v as usize]).collect();
    let mut side = two_means::cpu::two_means(&own, members[0] as u64, options.starts, options.iterations)?;
    let mut network = subgraph(graph, members, labels, place, 2.0 * options.lambda);
    let mut preference = vec![0.0; own.len()];
    for _ in 0..options.cuts {
        let mut sums = [Region::default(); 2];
        own.iter().zip(&side).for_each(|(feature, &side)| sums[side as usize].add(feature));
        if sums.iter().any(|sum| sum.count == 0.0) {
            return None;
        }
        let means = sums.map(|sum| sum.mean());
        // How much better the first mean fits than the second: such vertices hang on the source.
        for ((feature, before), excess) in own.iter().zip(&mut preference).zip(&mut network.excess) {
            let now = (squared_distance(feature, &means[1]) - squared_distance(feature, &means[0])) as f32;
            *excess += now - *before;
            *before = now;
        }
        let after = max_flow::cpu::min_cut(&mut network);
        if after == side {
            break;
        }
        side = after;
    }
    let side = &side;
    let same_side = |v: u32| {
        let heads = network.arcs.row(v as usize).iter().map(|arc| arc.head);
        heads.filter(move |&head| side[head as usize] == side[v as usize])
    };
    let (part, count) = connected(own.len(), same_side);
    lowers(&network, &own, &part, count).then_some((part, count))
}

/// The network of one component: arcs inside it, capacity `scale` times their weight.
fn subgraph(graph: &Graph, members: &[u32], labels: &[u32], place: &[u32], scale: f32) -> Network {
    let component = labels[members[0] as usize];
    let arcs_of = |&v: &u32| {
        let inside = graph.neighbors(v).filter(|&(head, _)| labels[head as usize] == component);
        inside.map(|(head, weight)| Arc { head: place[head as usize], reverse: 0, residual: scale * weight })
    };
    let mut arcs: Ragged<Arc> = members.iter().map(arcs_of).collect();
    // Heads ascend within a vertex, so the arcs back to it are met in the order of its heads.
    let mut next = arcs.offsets().to_vec();
    for arc in arcs.values_mut() {
        let back = &mut next[arc.head as usize];
        arc.reverse = *back;
        *back += 1;
    }
    Network { arcs, excess: vec![0.0; members.len()] }
}

/// Whether the parts have a lower energy than the whole.
fn lowers<const D: usize>(network: &Network, features: &[[f32; D]], part: &[u32], count: usize) -> bool {
    let mut parts = vec![Region::default(); count];
    for (feature, &part) in features.iter().zip(part) {
        parts[part as usize].add(feature);
    }
    let whole = parts.iter().fold(Region::default(), |whole, part| whole.join(part));
    let gain = parts.iter().map(Region::concentration).sum::<f64>() - whole.concentration();
    // An edge's two residuals always sum to twice its capacity.
    let cut: f64 = (0..features.len() as u32)
        .flat_map(|v| network.arcs.row(v as usize).iter().map(move |arc| (v, arc)))
        .filter(|(v, arc)| part[*v as usize] != part[arc.head as usize])
        .map(|(_, arc)| arc.residual as f64 / 2.0)
        .sum();
    gain > cut
}
