import { testConstraints } from './layers.mjs';

/** The part of Nx's project graph that is looked at. */
export interface Graph {
  nodes: Record<string, { type: string; data: { root: string; tags?: string[] } }>;
  dependencies: Record<string, { target: string; type: string }[]>;
}

export interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/**
 * What in a project graph contradicts the layers, a sentence each; none is good. Tests count here too, so their looser constraints
 * apply; which file may import what is ESLint's part.
 */
export function findGraphErrors(graph: Graph, manifestOf: (root: string) => Manifest): string[] {
  const errors: string[] = [];
  for (const [from, edges] of Object.entries(graph.dependencies)) {
    const source = graph.nodes[from];
    if (!source) continue;
    if (!source.data.tags?.some((tag) => tag.startsWith('layer:')))
      errors.push(`${from} has no layer: add one of the tags in tools/boundaries/layers.mjs.`);
    const manifest = manifestOf(source.data.root);
    for (const { target, type } of edges) {
      const destination = graph.nodes[target];
      if (!destination || type === 'implicit') continue; // a package from outside, or an order of builds
      if (destination.type === 'app') errors.push(`${from} imports ${target}: an app is imported by nobody.`);
      const name = manifestOf(destination.data.root).name;
      if (!manifest.dependencies?.[name] && !manifest.devDependencies?.[name])
        errors.push(`${from} uses ${name} and does not declare it in ${source.data.root}/package.json.`);
      errors.push(...layerErrors(from, source.data.tags ?? [], target, destination.data.tags ?? []));
    }
  }
  return [...errors, ...cycles(graph)];
}

function layerErrors(from: string, sourceTags: readonly string[], target: string, targetTags: readonly string[]): string[] {
  const errors: string[] = [];
  for (const { sourceTag, onlyDependOnLibsWithTags: only, notDependOnLibsWithTags: not } of testConstraints) {
    if (!sourceTags.includes(sourceTag)) continue;
    if (only && !only.some((tag) => targetTags.includes(tag)))
      errors.push(`${from} imports ${target}: ${sourceTag} may import only ${only.join(', ')}.`);
    const banned = not?.find((tag) => targetTags.includes(tag));
    if (banned) errors.push(`${from} imports ${target}: ${sourceTag} may not import ${banned}.`);
  }
  return errors;
}

/** Each cycle is named once, by a depth-first search that colours projects as untouched, on the path, or done. */
function cycles(graph: Graph): string[] {
  const found: string[] = [];
  const path: string[] = [];
  const done = new Set<string>();
  const visit = (name: string): void => {
    if (done.has(name)) return;
    const at = path.indexOf(name);
    if (at >= 0) {
      found.push(`These projects import each other in a circle: ${[...path.slice(at), name].join(' -> ')}.`);
      return;
    }
    path.push(name);
    for (const { target } of graph.dependencies[name] ?? []) if (graph.nodes[target]) visit(target);
    path.pop();
    done.add(name);
  };
  for (const name of Object.keys(graph.nodes)) visit(name);
  return found;
}
