/*
 * Makes the process 1 of this container leak, at so many megabytes a second, until it has no memory left: by its own inspector, which
 * SIGUSR1 opens on the loopback address of the container. Writes the limit of its heap.
 */
const mbPerSecond = Number(process.argv[1]);
process.kill(1, 'SIGUSR1');
const url = await retried(
  async () =>
    ((await (await fetch('http://127.0.0.1:9229/json/list')).json()) as Array<{ webSocketDebuggerUrl: string }>)[0]!.webSocketDebuggerUrl,
);
const socket = new WebSocket(url);
await new Promise((resolve, reject) => ((socket.onopen = resolve), (socket.onerror = reject)));
const answered = new Promise<number>((resolve) => (socket.onmessage = ({ data }) => resolve(JSON.parse(data).result.result.value)));
// Of objects and not of bytes: the collector has to look at each of them, again and again. A chunk has about 16 kB.
const chunks = Math.ceil((mbPerSecond * 1e6) / 100 / 16_000);
const grow = `globalThis.leaked = []; setInterval(() => { for (let i = 0; i < ${chunks}; i++) leaked.push(Array.from({ length: 256 }, () => ({}))); }, 10)`;
const limit = `process.getBuiltinModule('v8').getHeapStatistics().heap_size_limit`;
socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: `${grow}; ${limit}`, returnByValue: true } }));
console.log(JSON.stringify({ limitMb: Math.round((await answered) / 1e6) }));
socket.close();

async function retried<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export {};
