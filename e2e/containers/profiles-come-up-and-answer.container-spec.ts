import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { chosen } from './support/chosen.js';
import { Deployment } from './support/deployment.js';
import { Users } from './support/users.js';

/*
 * Goal: every profile of docker-compose.yml comes up as its header says, and does what it is for.
 * Method: each by itself, in a project and on ports of its own; the lines of the header, with `--detach`. Under CI one of them comes up. The three
 * brokers of `cluster` come up in one-of-three-brokers-is-not-missed.
 */
const READY = { timeoutMs: 60_000, pollMs: 100 };
const profiles = chosen(['replicas', 'lab'], 0);
const REPLICAS = 3;

it('is understood, profile by profile', async () => {
  const deployment = await Deployment.prepare();
  const servicesOf = (...profiles: string[]) =>
    deployment
      .must(...profiles.flatMap((profile) => ['--profile', profile]), 'config', '--services')
      .trim()
      .split('\n')
      .sort();
  const always = servicesOf();
  expect(always).toEqual(['cache', 'gateway', 'log', 'nats']);
  const own = (profile: string) => servicesOf(profile).filter((service) => !always.includes(service));
  expect(own('monolith')).toEqual(['monolith']);
  expect(own('replicas')).toEqual(['balancer', 'gateway-replica']);
  expect(own('cluster')).toEqual(['cluster-cache', 'cluster-gateway', 'cluster-log', 'nats-1', 'nats-2', 'nats-3']);
  expect(own('lab')).toEqual(['lab']);
});

it('has no service without limits of memory and processes, and none but the lab without a health check', async () => {
  const deployment = await Deployment.prepare();
  const { services } = JSON.parse(deployment.must('--profile', '*', 'config', '--format', 'json')) as {
    services: Record<
      string,
      { mem_limit?: string; pids_limit?: number; restart?: string; read_only?: boolean; image: string; healthcheck?: object }
    >;
  };
  // Those of our own image have its health check.
  const checked = ({ image, healthcheck }: (typeof services)[string]) => healthcheck !== undefined || image === 'diptych:local';
  for (const [name, service] of Object.entries(services)) {
    expect({ name, ...service }).toMatchObject({ name, mem_limit: expect.any(String), pids_limit: expect.any(Number), read_only: true });
    expect({ name, restart: service.restart, checked: checked(service) }).toEqual(
      name === 'lab' ? { name, restart: 'no', checked: false } : { name, restart: 'unless-stopped', checked: true },
    );
  }
});

it('is built on the images that are asked for, by digest too', async () => {
  const [NODE_IMAGE, NATS_IMAGE] = ['node', 'nats'].map((name) => `${name}@sha256:${'0'.repeat(64)}`) as [string, string];
  const deployment = await Deployment.prepare({ NODE_IMAGE, NATS_IMAGE });
  const { services } = JSON.parse(deployment.must('--profile', '*', 'config', '--format', 'json')) as {
    services: Record<string, { image: string; build?: { args: object } }>;
  };
  const built = Object.entries(services).filter(([, { build }]) => build);
  expect(built.map(([name]) => name).sort()).toEqual(['balancer', 'cluster-log', 'lab', 'log', 'monolith']);
  for (const [, { build }] of built) expect(build!.args).toEqual({ NODE_IMAGE, NATS_IMAGE });
  for (const [name, { image }] of Object.entries(services)) if (name.startsWith('nats')) expect(image).toBe(NATS_IMAGE);
});

it.runIf(profiles.includes('replicas'))(
  'replicas: gateways share the work behind a balancer, and one that is stopped, killed or frozen is not missed',
  async () => {
    await using deployment = await Deployment.prepare({ GATEWAY_REPLICAS: String(REPLICAS) });
    deployment.up(['balancer'], '--scale', 'cache=2');
    const servers = () => serversOf(deployment.ask('balancer', 8404, '/metrics'));
    await waitFor(() => servers().up === REPLICAS, { ...READY, what: 'the balancer has found every gateway' });
    await using users = await Users.start(deployment.urls.balancer, { count: 6 });
    await waitFor(() => servers().answered.filter((count) => count > 10).length === REPLICAS, {
      ...READY,
      what: 'every gateway has answered',
    });

    // SIGTERM: nothing fails, neither what it had taken nor what came afterwards.
    const container = (index: number) => `${deployment.project}-gateway-replica-${index}`;
    deployment.docker('stop', container(1));
    await waitFor(() => servers().up === REPLICAS - 1, { ...READY, what: 'the balancer has seen it go' });
    await users.answered(50);
    expect(users.failures).toEqual([]);

    // SIGKILL: reads go to another, and of writes only those that it had can have failed.
    deployment.docker('start', container(1));
    await waitFor(() => servers().up === REPLICAS, { ...READY, what: 'it is back' });
    deployment.docker('kill', container(2));
    await waitFor(() => servers().up === REPLICAS - 1, { ...READY, what: 'the balancer has seen it die' });
    await users.answered(50);
    expect(users.failures.filter(({ method }) => method === 'GET')).toEqual([]);
    expect(users.failures.length).toBeLessThanOrEqual(users.count);

    // Frozen: it accepts connections and answers nothing. Nobody is sent there any more after some failed checks.
    deployment.docker('start', container(2));
    await waitFor(() => servers().up === REPLICAS, { ...READY, what: 'it is back' });
    deployment.docker('pause', container(3));
    await waitFor(() => servers().up === REPLICAS - 1, { ...READY, what: 'the balancer has noticed' });
    const before = users.failures.length;
    await users.answered(50);
    deployment.docker('unpause', container(3));
    await waitFor(() => servers().up === REPLICAS, { ...READY, what: 'it is back' });
    // Each user lost at most what he was waiting for.
    expect(users.failures.length - before).toBeLessThanOrEqual(users.count);
  },
);

it('cluster: without a secret no broker starts, and each says why', async () => {
  await using deployment = await Deployment.prepare({ NATS_CLUSTER_SECRET: '' });
  const { status, stdout, stderr } = deployment.run('run', '--rm', '--no-deps', 'nats-1');
  expect(status).toBe(1);
  expect(stdout + stderr).toContain('set NATS_CLUSTER_SECRET');
});

it.runIf(profiles.includes('lab'))('lab: it runs an experiment on systems that it starts itself, and has a broker', async () => {
  await using deployment = await Deployment.prepare();
  deployment.must('build', 'lab');
  expect(deployment.must('run', '--rm', '--entrypoint', 'nats-server', 'lab', '--version')).toContain('nats-server: v2.10');
  const run = ['linearizability', '--operations', '100', '--crashes', '1', '--arm', 'monolith'];
  expect(deployment.must('run', '--rm', 'lab', ...run)).toContain('monolith: 0 violations');
});

/** Of the balancer's figures: how many gateways it takes for well, and how many requests each has answered well. */
function serversOf(metrics: string): { up: number; answered: number[] } {
  const values = (name: string, labels = '') =>
    [...metrics.matchAll(new RegExp(`^${name}\\{proxy="gateways",server="[^"]+"${labels}\\} (\\d+)$`, 'gm'))].map(([, value]) =>
      Number(value),
    );
  return {
    up: values('haproxy_server_status', ',state="UP"').filter((value) => value === 1).length,
    answered: values('haproxy_server_http_responses_total', ',code="2xx"'),
  };
}
