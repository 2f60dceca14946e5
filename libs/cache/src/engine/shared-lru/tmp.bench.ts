import { LRUCache } from 'lru-cache';
import { SharedLruCache } from '/work/main/libs/cache/src/engine/shared-lru/shared-lru-cache.js';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
const N=100_000, OPS=2_000_000;
const keys=Array.from({length:N},(_,i)=>`key-${String(i).padStart(20,'0')}`);
const value=Buffer.alloc(256,7);
function run(get:(k:string)=>unknown, add:(k:string,v:Uint8Array)=>unknown, seed:number){
  let x=seed|1; const t=performance.now(); let n=0;
  for(let i=0;i<OPS;i++){ x^=x<<13; x^=x>>>17; x^=x<<5; const k=keys[(x>>>0)%N]!; if(i%20===0) add(k,value); else if(get(k)) n++; }
  return OPS/(performance.now()-t)/1000;
}
if(isMainThread){
  const lru=new LRUCache<string,Uint8Array>({max:N});
  const one=SharedLruCache.create({capacity:N*1.2,bytesMax:N*320*1.2,shards:64});
  for(const k of keys){lru.set(k,value);one.add(k,value)}
  for(let r=0;r<4;r++){ console.log('lru',run(k=>lru.get(k),(k,v)=>lru.set(k,v),r+1).toFixed(2),'shared',run(k=>one.get(k),(k,v)=>one.add(k,v),r+1).toFixed(2)); }
  console.log(one.counts, one.length);
  for(const mode of ['indep','1','64','1','64','indep']){
    const mem= mode==='indep'?undefined: (()=>{const c=SharedLruCache.create({capacity:N*1.2,bytesMax:N*320*1.2,shards:Number(mode)}); for(const k of keys)c.add(k,value); return c.memory})();
    const rates=await Promise.all([1,2].map(s=>new Promise<number>(res=>new Worker(new URL(import.meta.url),{workerData:{mem,s},execArgv:process.execArgv}).on('message',res))));
    console.log(mode,(rates[0]!+rates[1]!).toFixed(2));
  }
} else {
  const {mem,s}=workerData; const c=mem?SharedLruCache.attach(mem):SharedLruCache.create({capacity:N*1.2,bytesMax:N*320*1.2,shards:64});
  if(!mem) for(const k of keys)c.add(k,value);
  run(k=>c.get(k),(k,v)=>c.add(k,v),s);
  const r=run(k=>c.get(k),(k,v)=>c.add(k,v),s+10);
  const {parentPort}=await import('node:worker_threads'); parentPort!.postMessage(r);
}
