/** Long work in slices, so that sockets and timers have their turn in between. */

/** Work of which a part is done between two yields; what it returns is its result. */
export type Steps<T> = Generator<void, T>;

/** Does all of it at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Does it with a pause whenever `budgetMs` are over. */
export async function inSlices<T>(steps: Steps<T>, budgetMs = 8): Promise<T> {
  for (;;) {
    const until = performance.now() + budgetMs;
    do {
      const { done, value } = steps.next();
      if (done) return value;
    } while (performance.now() < until);
    await new Promise((resolve) => { setImmediate(resolve); });
  }
}
