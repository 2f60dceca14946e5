import { Controller, Module } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';

/** An application as it was before: nothing in it knows how it is reached. */
@Controller()
class StockController {
  readonly #left = new Map([['apple', 3]]);

  @MessagePattern('stock.left')
  left(@Payload() sku: string): number {
    return this.#left.get(sku) ?? 0;
  }

  @MessagePattern({ cmd: 'reserve' })
  async reserve(@Payload() { sku, workMs }: { sku: string; workMs: number }): Promise<string> {
    console.log(`reserving ${sku}`);
    await new Promise((resolve) => setTimeout(resolve, workMs));
    this.#left.set(sku, this.left(sku) - 1);
    return `reserved ${sku}`;
  }

  @EventPattern('order.placed')
  placed(@Payload() order: { id: number }): void {
    console.log(`heard of order ${order.id}`);
  }
}

@Module({ controllers: [StockController] })
export class StockModule {}
