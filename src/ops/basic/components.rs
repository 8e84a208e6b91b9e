//! Connected components of a graph, numbered by their lowest vertices.

/// CPU reference.
pub mod cpu {
    /// The component of each of `n` vertices, and the number of components. `neighbors` goes both ways.
    pub fn connected<I: Iterator<Item = u32>>(n: usize, neighbors: impl Fn(u32) -> I) -> (Vec<u32>, usize) {
        const NONE: u32 = u32::MAX;
        let mut component = vec![NONE; n];
        let mut count = 0;
        let mut stack = vec![];
        for root in 0..n as u32 {
            if component[root as usize] != NONE {
                continue;
            }
            component[root as usize] = count;
            stack.push(root);
            while let Some(v) = stack.pop() {
                for head in neighbors(v) {
                    if component[head as usize] == NONE {
                        component[head as usize] = count;
                        stack.push(head);
                    }
                }
            }
            count += 1;
        }
        (component, count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::connected;

    #[test]
    fn numbers_follow_the_lowest_vertices() {
        let neighbors: [&[u32]; 5] = [&[3], &[4], &[], &[0], &[1]];
        let (labels, count) = connected(5, |v| neighbors[v as usize].iter().copied());
        assert_eq!((labels, count), (vec![0, 1, 2, 0, 1], 3));
        assert_eq!(connected(0, |_| std::iter::empty()), (vec![], 0));
    }
}
