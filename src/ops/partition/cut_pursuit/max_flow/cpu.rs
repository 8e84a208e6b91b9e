//! CPU reference: two search trees that grow towards each other and are repaired after every augmentation (Boykov and
//! Kolmogorov 2004, with the distance heuristics of section 3.2.4), on arrays.

use super::{Arc, Network};
use std::collections::VecDeque;

/// Saturates a minimum cut: `residual` and `excess` become those of a maximum flow. Returns for every vertex
/// whether the sink's side of the cut holds it; vertices that either side could hold go to the source.
///
/// The flow found so far is kept: after a change of `excess`, calling again costs only the difference.
pub fn min_cut(network: &mut Network) -> Vec<bool> {
    push_along_single_arcs(network);
    let mut search = Search::new(network);
    search.run();
    search.vertices.iter().map(|vertex| vertex.tree == Tree::Sink).collect()
}

/// What can flow from a vertex to its neighbours: most of it all, and without the search trees.
fn push_along_single_arcs(Network { arcs, excess }: &mut Network) {
    let (first, arcs) = arcs.split_mut();
    for v in 0..excess.len() {
        for at in first[v] as usize..first[v + 1] as usize {
            let Arc { head, reverse, residual } = arcs[at];
            let amount = residual.min(excess[v]).min(-excess[head as usize]);
            if amount > 0.0 {
                arcs[at].residual -= amount;
                arcs[reverse as usize].residual += amount;
                excess[v] -= amount;
                excess[head as usize] += amount;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Tree {
    Free,
    Source,
    Sink,
}

/// Parents other than an arc: the terminal itself, none yet looked for, none.
const TERMINAL: u32 = u32::MAX;
const ORPHAN: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX - 2;

#[derive(Debug, Clone, Copy)]
struct Vertex {
    tree: Tree,
    queued: bool,
    /// Arc from the vertex to its parent in the tree.
    parent: u32,
    /// Arcs to the terminal, as known at `time`.
    distance: u32,
    time: u32,
}

struct Search<'a> {
    first: &'a [u32],
    arcs: &'a mut [Arc],
    excess: &'a mut [f32],
    vertices: Vec<Vertex>,
    active: VecDeque<u32>,
    orphans: VecDeque<u32>,
    time: u32,
}

impl Search<'_> {
    fn new(network: &mut Network) -> Search<'_> {
        let root = |&excess: &f32| Vertex {
            tree: if excess > 0.0 {
                Tree::Source
            } else if excess < 0.0 {
                Tree::Sink
            } else {
                Tree::Free
            },
            queued: excess != 0.0,
            parent: if excess == 0.0 { NONE } else { TERMINAL },
            distance: 1,
            time: 0,
        };
        let vertices: Vec<Vertex> = network.excess.iter().map(root).collect();
        let active = (0..vertices.len() as u32).filter(|&v| vertices[v as usize].queued).collect();
        let (first, arcs) = network.arcs.split_mut();
        Search {
            first,
            arcs,
            excess: &mut network.excess,
            vertices,
            active,
            orphans: VecDeque::new(),
            time: 0,
        }
    }

    fn run(&mut self) {
        while let Some(v) = self.active.pop_front() {
            self.vertices[v as usize].queued = false;
            // A vertex is grown until none of its arcs leads to the other tree.
            while self.vertices[v as usize].tree != Tree::Free {
                let Some(bridge) = self.grow(v) else { break };
                self.time += 1;
                self.augment(bridge);
                while let Some(orphan) = self.orphans.pop_front() {
                    self.adopt(orphan);
                }
            }
        }
    }

    fn arcs_of(&self, v: u32) -> std::ops::Range<u32> {
        self.first[v as usize]..self.first[v as usize + 1]
    }

    /// What `arc` of a vertex of `tree` can carry away from the tree's terminal.
    fn outward(&self, tree: Tree, arc: u32) -> f32 {
        let arc = self.arcs[arc as usize];
        if tree == Tree::Source { arc.residual } else { self.arcs[arc.reverse as usize].residual }
    }

    /// What `arc` of a vertex of `tree` can carry to that vertex from the tree's terminal.
    fn inward(&self, tree: Tree, arc: u32) -> f32 {
        let arc = self.arcs[arc as usize];
        if tree == Tree::Source { self.arcs[arc.reverse as usize].residual } else { arc.residual }
    }

    fn activate(&mut self, v: u32) {
        if !self.vertices[v as usize].queued {
            self.vertices[v as usize].queued = true;
            self.active.push_back(v);
        }
    }

    /// Adds the free neighbours of `v` to its tree; returns an arc from the source's tree to the sink's, if met.
    fn grow(&mut self, v: u32) -> Option<u32> {
        let from = self.vertices[v as usize];
        for arc in self.arcs_of(v) {
            if self.outward(from.tree, arc) <= 0.0 {
                continue;
            }
            let Arc { head, reverse, .. } = self.arcs[arc as usize];
            let to = self.vertices[head as usize];
            let child = Vertex { parent: reverse, distance: from.distance + 1, time: from.time, ..to };
            if to.tree == Tree::Free {
                self.vertices[head as usize] = Vertex { tree: from.tree, ..child };
                self.activate(head);
            } else if to.tree != from.tree {
                return Some(if from.tree == Tree::Source { arc } else { reverse });
            } else if to.time <= from.time && to.distance > from.distance {
                self.vertices[head as usize] = child;
            }
        }
        None
    }

    /// Pushes what the path through `bridge` can carry; vertices cut off from their parents become orphans.
    fn augment(&mut self, bridge: u32) {
        let Arc { head, reverse, residual } = self.arcs[bridge as usize];
        let tail = self.arcs[reverse as usize].head;
        let from_source = self.bottleneck(tail, residual);
        let amount = self.bottleneck(head, from_source);
        self.push(bridge, amount);
        self.drain(tail, amount);
        self.drain(head, amount);
    }

    /// The least of `limit` and what the tree path between `v` and its terminal can carry.
    fn bottleneck(&self, mut v: u32, mut limit: f32) -> f32 {
        loop {
            let Vertex { tree, parent, .. } = self.vertices[v as usize];
            if parent == TERMINAL {
                return limit.min(self.excess[v as usize].abs());
            }
            limit = limit.min(self.inward(tree, parent));
            v = self.arcs[parent as usize].head;
        }
    }

    /// Sends `amount` along the tree path between `v` and its terminal.
    fn drain(&mut self, mut v: u32, amount: f32) {
        loop {
            let Vertex { tree, parent, .. } = self.vertices[v as usize];
            if parent == TERMINAL {
                let excess = &mut self.excess[v as usize];
                *excess -= if tree == Tree::Source { amount } else { -amount };
                if *excess == 0.0 {
                    self.orphan(v);
                }
                return;
            }
            let Arc { head, reverse, .. } = self.arcs[parent as usize];
            self.push(if tree == Tree::Source { reverse } else { parent }, amount);
            if self.inward(tree, parent) <= 0.0 {
                self.orphan(v);
            }
            v = head;
        }
    }

    fn push(&mut self, arc: u32, amount: f32) {
        self.arcs[arc as usize].residual -= amount;
        let reverse = self.arcs[arc as usize].reverse;
        self.arcs[reverse as usize].residual += amount;
    }

    fn orphan(&mut self, v: u32) {
        self.vertices[v as usize].parent = ORPHAN;
        self.orphans.push_back(v);
    }

    /// Gives an orphan the neighbour nearest to the terminal as parent, or frees it and orphans its children.
    fn adopt(&mut self, v: u32) {
        let tree = self.vertices[v as usize].tree;
        let mut best = (u32::MAX, NONE);
        for arc in self.arcs_of(v) {
            let head = self.arcs[arc as usize].head;
            if self.vertices[head as usize].tree == tree && self.inward(tree, arc) > 0.0 {
                best = best.min((self.distance(head), arc));
            }
        }
        let (distance, arc) = best;
        let vertex = &mut self.vertices[v as usize];
        if distance != u32::MAX {
            *vertex = Vertex { parent: arc, distance: distance + 1, time: self.time, ..*vertex };
            return;
        }
        (vertex.tree, vertex.parent) = (Tree::Free, NONE);
        for arc in self.arcs_of(v) {
            let Arc { head, reverse, .. } = self.arcs[arc as usize];
            if self.vertices[head as usize].tree != tree {
                continue;
            }
            if self.inward(tree, arc) > 0.0 {
                self.activate(head);
            }
            if self.vertices[head as usize].parent == reverse {
                self.orphan(head);
            }
        }
    }

    /// Distance of `v` to its terminal, `u32::MAX` if its path ends at an orphan; remembered along the path.
    fn distance(&mut self, v: u32) -> u32 {
        let (mut at, mut steps) = (v, 0);
        let to_terminal = loop {
            let vertex = &mut self.vertices[at as usize];
            if vertex.time == self.time && vertex.parent != ORPHAN {
                break steps + vertex.distance;
            }
            match vertex.parent {
                TERMINAL => {
                    (vertex.time, vertex.distance) = (self.time, 1);
                    break steps + 1;
                }
                ORPHAN | NONE => return u32::MAX,
                arc => at = self.arcs[arc as usize].head,
            }
            steps += 1;
        };
        let (mut at, mut distance) = (v, to_terminal);
        while self.vertices[at as usize].time != self.time {
            let vertex = &mut self.vertices[at as usize];
            (vertex.time, vertex.distance) = (self.time, distance);
            distance -= 1;
            at = self.arcs[vertex.parent as usize].head;
        }
        to_terminal
    }
}
