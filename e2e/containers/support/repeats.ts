/** Calls that the guards of the process at this address have made again, since its start. */
export async function repeats(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
  let sum = 0;
  for (const [, value] of text.matchAll(/^diptych_guard_repeats_total(?:\{[^}]*\})? (\S+)$/gm)) sum += Number(value);
  return sum;
}
