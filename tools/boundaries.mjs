// Module boundaries from Nx's own project graph: tags on both ends of every edge must be allowed; no project may import an app.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const { constraints } = JSON.parse(readFileSync('tools/boundaries.json', 'utf8'));
const run = spawnSync('nx', ['graph', '--print'], { encoding: 'utf8', maxBuffer: 1 << 28 });
// nx exits 0 with a *partial* graph when its analysis throws (e.g. TypeScript 7 as `typescript`): never call that a pass.
if (run.status !== 0 || /partial graph|threw an error/.test(run.stdout + run.stderr)) {
  console.error(run.stdout.slice(0, 300), run.stderr.slice(0, 800));
  process.exit(2);
}
const { graph } = JSON.parse(run.stdout);
const errs = [];
for (const [from, deps] of Object.entries(graph.dependencies)) {
  const src = graph.nodes[from];
  if (!src) continue;
  const declared = JSON.parse(readFileSync(`${src.data.root}/package.json`, 'utf8'));
  for (const { target, type } of deps) {
    const dst = graph.nodes[target];
    if (!dst) continue;
    if (dst.type === 'app') errs.push(`${from} -> ${target}: nothing may import an app`);
    if (!declared.dependencies?.[target]) errs.push(`${from} -> ${target} (${type}): used but not in ${src.data.root}/package.json`);
    for (const c of constraints) {
      if (src.data.tags?.includes(c.sourceTag) && !c.onlyDependOnLibsWithTags.some((t) => dst.data.tags?.includes(t)))
        errs.push(`${from} -> ${target}: ${c.sourceTag} may depend only on ${c.onlyDependOnLibsWithTags.join(', ')}`);
    }
  }
}
for (const e of errs) console.error(e);
console.log(errs.length ? `${errs.length} boundary errors` : 'boundaries ok');
process.exitCode = errs.length ? 1 : 0;
