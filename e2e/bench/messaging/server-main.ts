import { PEERS, VALUES } from './peers/peer.js';
import type { PeerName } from './peers/peer.js';

/** The serving process of one peer: `server-main.js <peer> <url of the broker>`. It runs until it is killed or its parent is gone. */
const [name, url] = process.argv.slice(2) as [PeerName, string];
const { peer } = await PEERS[name]();
await peer.serve(url, VALUES);
process.on('disconnect', () => process.exit());
console.log('ready');
