import { connectNats } from '@diptych/messaging';
import { echo, echoPort } from './echo.port.js';

/** The far end of the ladder's last rung: answers until SIGTERM. */
const link = await connectNats({ servers: process.argv[2]!, name: 'lab-echo' });
await link.serve(echoPort, echo());
process.once('SIGTERM', () => void link.close(1_000).then(() => process.exit(0)));
process.on('SIGINT', () => undefined);
console.log('ready');
