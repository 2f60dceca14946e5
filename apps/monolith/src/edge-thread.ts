import { runThread } from '@diptych/host';
import { EdgeThreadModule } from './threads.module.js';

// A program of its own: `runThreads` starts it in each thread.
runThread(EdgeThreadModule);
