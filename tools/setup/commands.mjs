/**
 * The commands of this repository: one line each, used by package.json as `node tools/setup/run.mjs <name>`.
 *
 * `run` is one command line or several that run in order until one fails; arguments given by the user go to the last one. `needs` names
 * what set-up brings beyond the packages and Node 24, `needsFor` what some arguments need besides; `env` is added to the environment.
 *
 * @typedef {{ run: string[][], needs?: ('nats-server' | 'haproxy' | 'docker')[], needsFor?: (args: string[]) => ('haproxy')[], env?: Record<string, string>, about: string }} Command
 * @type {Record<string, Command>}
 */
export const commands = {
  setup: { run: [], needs: ['nats-server', 'haproxy'], about: 'bring everything that the other commands need' },
  test: { run: [['vitest', 'run']], needs: ['nats-server'], about: 'all tests that need no Docker engine, in small sizes' },
  'test:long': { run: [['vitest', 'run']], needs: ['nats-server'], env: { DIPTYCH_LONG: '1' }, about: 'the same tests in full sizes' },
  'test:containers': {
    run: [['vitest', 'run', '--project', 'containers']],
    needs: ['nats-server', 'docker'],
    env: { DIPTYCH_CONTAINERS: '1' },
    about: 'the tests that need a Docker engine',
  },
  build: { run: [['nx', 'run-many', '-t', 'build']], about: 'compile everything; what is unchanged comes from the cache' },
  typecheck: { run: [['tsc', '-p', 'tsconfig.spec.json']], about: 'check all types, tests and tools included' },
  lint: {
    run: [
      ['node', 'tools/boundaries/check.ts'],
      ['depcruise', '--config', 'tools/boundaries/cycles.mjs', 'apps', 'libs', 'tools', 'e2e'],
      ['eslint', '--max-warnings', '0', '.'],
    ],
    about: 'module boundaries, import cycles and ESLint',
  },
  deadcode: { run: [['knip']], about: 'files, exports and packages that nothing uses' },
  format: { run: [['prettier', '--log-level', 'warn', '--write', '.']], about: 'format everything' },
  'format:check': { run: [['prettier', '--log-level', 'warn', '--check', '.']], about: 'say what is not formatted' },
  compare: {
    run: [
      ['nx', 'run-many', '-t', 'build', '-p', 'monolith,gateway,cache,log,lab'],
      ['node', 'tools/lab/dist/main.js', 'compare'],
    ],
    needs: ['nats-server'],
    about: 'both panels under load and under a crash, in five minutes',
  },
  lab: {
    run: [
      ['nx', 'run-many', '-t', 'build', '-p', 'monolith,gateway,cache,log,lab,e2e'],
      ['node', 'tools/lab/dist/main.js'],
    ],
    needs: ['nats-server'],
    // In containers the balancer is one of them.
    needsFor: ([command, ...rest]) => (command === 'run' && !rest.some((arg) => arg.endsWith('docker')) ? ['haproxy'] : []),
    about: 'the lab, with its commands',
  },
  'bench:http': {
    run: [
      ['nx', 'build', 'e2e'],
      ['tsx', '--tsconfig', 'tsconfig.base.json', '--conditions=@diptych/source', 'e2e/bench/http.bench.ts'],
    ],
    needs: ['nats-server'],
    about: 'a cached GET: the monolith beside a bare Nest handler',
  },
  'bench:messaging': {
    run: [
      ['nx', 'build', 'e2e'],
      ['node', 'e2e/dist/bench/messaging/messaging.bench.js'],
    ],
    needs: ['nats-server'],
    about: 'what a call costs by how it gets there, beside the transports of others',
  },
  'bench:log': {
    run: [
      ['nx', 'build', 'e2e'],
      ['node', 'e2e/dist/bench/log/log.bench.js'],
    ],
    about: 'the log beside bare loops that write and read the same bytes',
  },
  'bench:cache': {
    run: [
      ['nx', 'build', 'e2e'],
      ['node', 'e2e/dist/bench/cache/cache.bench.js'],
    ],
    about: 'the caches beside lru-cache, by one thread and by two',
  },
  'bench:channel': {
    run: [['node', '--conditions=@diptych/source', '--import', 'tsx', 'libs/kernel/src/channel.bench.ts']],
    about: 'what a channel and a lock cost',
  },
  poll: {
    run: [['node', '--conditions=@diptych/source', '--import', 'tsx', 'libs/poller/src/main.ts']],
    about: 'poll URLs and print their changes of state',
  },
  log: {
    run: [['node', '--conditions=@diptych/source', '--import', 'tsx', 'libs/log/src/commands/main.ts']],
    about: 'verify, dump, back up or restore the files of a log',
  },
  services: { run: [['node', 'tools/serve/services.ts']], needs: ['nats-server'], about: 'serve nats, log, cache and gateway together' },
  monolith: { run: [['node', 'tools/serve/monolith.ts']], about: 'serve the monolith' },
};
