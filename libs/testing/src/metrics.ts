/**
 * One number of a process's `/metrics`: the sum over all series of the name whose labels contain all of `labels`, for example `method="read"`. 0 when there is none.
 *
 * @throws Error when the process does not answer
 */
export async function metricOf(url: string, name: string, ...labels: readonly string[]): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name) || !['{', ' '].includes(line.charAt(name.length))) continue;
    if (labels.every((label) => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

/** Reads of the log that its process has answered so far, however far they came. */
export function logReadsOf(logUrl: string): Promise<number> {
  return metricOf(logUrl, 'diptych_port_call_duration_seconds_count', 'port="log"', 'method="read"', 'binding="in-process"');
}
