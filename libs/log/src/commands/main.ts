import { runLogProgram } from './run.js';

await runLogProgram(process.argv.slice(2));
