import { startProcess, type RunningProcess, pinned, type Profile, usageOf, cpuMsOf } from '@diptych/testing';
import { childModule } from '../child-module.js';
import type { ArmName } from '../dependency-table.js';
import type { RunningArm, StartArm } from '../running-arm.js';
import { killProvably } from '../start-arm.js';

/** What is planted: how long each arm takes for a request, and whether a kill kills. */
export interface Planted {
  readonly serviceMs: Readonly<Partial<Record<ArmName, number>>>;
  readonly killWorks: boolean;
}

/** Arms whose differences are known beforehand, so that it can be seen whether the lab finds them. */
export function stubArms(profile: Profile, planted: Planted): StartArm {
  return async (name) => {
    const start = (port: number): Promise<RunningProcess> =>
      startProcess({
        ...pinned(profile.system, process.execPath, [
          ...process.execArgv,
          childModule(import.meta.url, './stub-main'),
          String(port),
          String(planted.serviceMs[name] ?? 0),
        ]),
        name: `stub of ${name}`,
        ready: /ready on \d+/,
      });
    let running = await start(0);
    const port = Number(/ready on (\d+)/.exec(running.stdout)![1]);
    const arm: RunningArm = {
      name,
      url: `http://127.0.0.1:${port}`,
      firstGoodReplyMs: 1,
      processes: 1,
      ports: 1,
      settings: 0,
      usage: () => usageOf([running.pid]),
      cpuMs: () => cpuMsOf([running.pid]),
      async kill() {
        // SIGCONT goes to a process that runs, and changes nothing.
        return killProvably(`stub of ${name}`, running, planted.killWorks ? 'SIGKILL' : 'SIGCONT');
      },
      async restart() {
        if (running.exit) running = await start(port);
      },
      async stop() {
        await running.kill('SIGKILL');
      },
    };
    return arm;
  };
}
