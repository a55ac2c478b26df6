//! Lineage: which versions came from which runs, and these from which versions.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Write as _;

use super::ArtifactVersion;
use crate::{Result, RunInfo, Workspace};

/// Where a graph begins.
#[derive(Debug, Clone, Copy)]
pub enum GraphStart<'a> {
    /// A version; of a link, the one that it links to.
    Version(&'a ArtifactVersion),
    /// A run.
    Run(&'a RunInfo),
}

/// What something came from, and what came from it.
#[derive(Debug, Clone, Default)]
pub struct ArtifactGraph {
    /// Versions and runs, the oldest first.
    pub nodes: Vec<GraphNode>,
    /// Who made and used what.
    pub edges: Vec<GraphEdge>,
    /// Which of the nodes it began with.
    pub start: usize,
}

/// A version or a run.
#[derive(Debug, Clone)]
pub enum GraphNode {
    /// A version.
    Version {
        /// The version.
        version: Box<ArtifactVersion>,
        /// The links to it: `registry/model:v0`.
        links: Vec<String>,
    },
    /// A run.
    Run(Box<RunInfo>),
    /// A run that is not there any more, by its object id.
    LostRun(String),
}

/// A run made a version, or a version was used by a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GraphEdge {
    /// Which of the nodes came first.
    pub from: usize,
    /// Which came from it.
    pub to: usize,
}

/// A version by its place among all, or a run by its object id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Node {
    Version(usize),
    Run(String),
}

/// All versions, and what runs made and used.
struct All {
    versions: Vec<ArtifactVersion>,
    links: HashMap<String, Vec<String>>,
    made: HashMap<String, Vec<usize>>,
    used: HashMap<String, Vec<usize>>,
}

impl Workspace {
    /// Returns everything that a version or run came from, by however many steps, and everything that came from it.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn artifact_graph(&self, start: GraphStart<'_>) -> Result<ArtifactGraph> {
        let all = All::of(self.artifacts(None)?);
        let start = match start {
            GraphStart::Run(run) => Node::Run(run.object.to_string()),
            GraphStart::Version(version) => {
                let found = all.versions.iter().position(|known| known.object == version.object);
                Node::Version(found.ok_or_else(|| version.is_gone())?)
            }
        };
        let mut edges = BTreeSet::new();
        for direction in [Direction::Back, Direction::Forth] {
            all.follow(&start, direction, &mut edges);
        }
        let mut found: Vec<Node> = edges.iter().flat_map(|(from, to)| [from, to]).cloned().collect();
        found.push(start.clone());
        found.sort();
        found.dedup();
        let mut nodes = found.into_iter().map(|node| self.node(&all, node)).collect::<Result<Vec<_>>>()?;
        nodes.sort_by_key(|(_, node)| node.created());
        let place: HashMap<&Node, usize> = nodes.iter().enumerate().map(|(at, (node, _))| (node, at)).collect();
        let at = |node: &Node| place.get(node).copied().unwrap_or_default();
        let edges: BTreeSet<GraphEdge> =
            edges.iter().map(|(from, to)| GraphEdge { from: at(from), to: at(to) }).collect();
        let start = at(&start);
        let nodes = nodes.into_iter().map(|(_, node)| node).collect();
        Ok(ArtifactGraph { nodes, edges: edges.into_iter().collect(), start })
    }

    fn node(&self, all: &All, node: Node) -> Result<(Node, GraphNode)> {
        let shown = match &node {
            Node::Version(at) => match all.versions.get(*at) {
                Some(version) => {
                    let links = all.links.get(&version.full_name()).cloned().unwrap_or_default();
                    GraphNode::Version { version: Box::new(version.clone()), links }
                }
                None => GraphNode::LostRun(String::new()),
            },
            Node::Run(object) => match self.run_of_object(object)? {
                Some(run) => GraphNode::Run(Box::new(run)),
                None => GraphNode::LostRun(object.clone()),
            },
        };
        Ok((node, shown))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Back,
    Forth,
}

impl All {
    fn of(versions: Vec<ArtifactVersion>) -> All {
        let mut all = All { versions: Vec::new(), links: HashMap::new(), made: HashMap::new(), used: HashMap::new() };
        for version in versions {
            if let Some(origin) = &version.links_to {
                all.links.entry(origin.clone()).or_default().push(version.full_name());
                continue;
            }
            let at = all.versions.len();
            for maker in version.makers() {
                all.made.entry(maker.clone()).or_default().push(at);
            }
            for (user, _) in &version.used_by {
                all.used.entry(user.clone()).or_default().push(at);
            }
            all.versions.push(version);
        }
        all
    }

    /// Adds the edges that lead on from a node, all in one direction.
    fn follow(&self, start: &Node, direction: Direction, edges: &mut BTreeSet<(Node, Node)>) {
        let mut seen = HashSet::from([start.clone()]);
        let mut waiting = VecDeque::from([start.clone()]);
        while let Some(node) = waiting.pop_front() {
            for next in self.neighbours(&node, direction) {
                edges.insert(match direction {
                    Direction::Back => (next.clone(), node.clone()),
                    Direction::Forth => (node.clone(), next.clone()),
                });
                if seen.insert(next.clone()) {
                    waiting.push_back(next);
                }
            }
        }
    }

    fn neighbours(&self, node: &Node, direction: Direction) -> Vec<Node> {
        match node {
            Node::Run(run) => {
                let versions = if direction == Direction::Back { &self.used } else { &self.made };
                versions.get(run).into_iter().flatten().map(|at| Node::Version(*at)).collect()
            }
            Node::Version(at) => {
                let Some(version) = self.versions.get(*at) else { return Vec::new() };
                match direction {
                    Direction::Back => version.makers().cloned().map(Node::Run).collect(),
                    Direction::Forth => version.used_by.iter().map(|(run, _)| Node::Run(run.clone())).collect(),
                }
            }
        }
    }
}

impl GraphNode {
    /// Returns what people call it: `project/name:v3`, `project/run-name`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            GraphNode::Version { version, .. } => version.full_name(),
            GraphNode::Run(run) => format!("{}/{}", run.project, run.name),
            GraphNode::LostRun(object) => format!("run {object}"),
        }
    }

    fn created(&self) -> i64 {
        match self {
            GraphNode::Version { version, .. } => version.created,
            GraphNode::Run(run) => run.created,
            GraphNode::LostRun(_) => 0,
        }
    }
}

impl ArtifactGraph {
    /// Returns the edge's name: a run `made` a version, a version was `used` by a run.
    #[must_use]
    pub fn edge_kind(&self, edge: GraphEdge) -> &'static str {
        match self.nodes.get(edge.to) {
            Some(GraphNode::Version { .. }) => "made",
            _ => "used",
        }
    }

    /// Returns the graph in the language of Graphviz.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph lineage {\n  rankdir=LR;\n");
        for (at, node) in self.nodes.iter().enumerate() {
            let (shape, mut label) = match node {
                GraphNode::Version { .. } => ("box", node.label()),
                GraphNode::Run(_) | GraphNode::LostRun(_) => ("ellipse", node.label()),
            };
            if let GraphNode::Version { links, .. } = node {
                label.extend(links.iter().map(|link| format!("\n{link}")));
            }
            let bold = if at == self.start { ", style=bold" } else { "" };
            // A String takes every write.
            let _ = writeln!(out, "  n{at} [shape={shape}{bold}, label=\"{}\"];", quoted(&label));
        }
        for edge in &self.edges {
            let _ = writeln!(out, "  n{} -> n{} [label={}];", edge.from, edge.to, self.edge_kind(*edge));
        }
        out + "}\n"
    }
}

/// Returns a text as it stands between quotes in DOT; control characters are left out.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}
