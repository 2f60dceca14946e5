import '@diptych/host/node-version';

// Only now, when this Node is known to read it.
const { isLogCommand, runLogProgram } = await import('./commands.js');
const args = process.argv.slice(2);
// `main.js verify <directory>` and so on work on files; without a command this is the service.
if (isLogCommand(args)) await runLogProgram(args);
else await import('./start.js');
