import { describeOverBindings } from '@diptych/messaging/testing';
import { tempDir } from '@diptych/testing';
import { logContract } from '../test/log.contract.js';
import type { LogPort } from './index.js';
import { logPort, openFileLog } from './index.js';

describeOverBindings<LogPort>(
  'the log',
  {
    descriptor: logPort,
    bindings: ['in-process', 'loopback', 'threads'],
    create: async () => {
      const directory = await tempDir('diptych-log-');
      const log = await openFileLog({ directory: directory.path });
      return { implementation: log, dispose: async () => (await log.close(), directory.remove()) };
    },
  },
  logContract,
);
