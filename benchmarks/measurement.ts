/** One variant under one workload. Raw values in the order they were taken. */
export interface Measurement {
  /** CPU time of the whole process per request, exporting included: a value a slice. The variants' values of the same
   *  index were taken one right after the other. */
  readonly cpuMicros: number[];
  /** Of the slices before those. */
  readonly warmUpCpuMicros: number[];
  readonly requestsPerSecond: number[];
  /** After the load: a value a round. */
  readonly rssMegabytes: number[];
  readonly pressure: Pressure[];
  spansPerRequest: number;
  spansExpected: number;
  spansReceived: number;
  wireBytes: number;
}

/** How one process behaves with as much to do as it can, and with half of what the slowest can. */
export interface Pressure {
  readonly saturated: {
    readonly requestsPerSecond: number;
    readonly p99Millis: number;
    readonly spansExpected: number;
    readonly spansReceived: number;
  };
  /** The same rate of requests for all. `delayP99Millis` is of the event loop: the time between two turns of a timer of
   *  one millisecond. */
  readonly paced: {
    readonly requestsPerSecond: number;
    readonly p99Millis: number;
    readonly delayP99Millis: number;
  };
}

/** Nothing measured yet. */
export function emptyMeasurement(): Measurement {
  return {
    cpuMicros: [],
    warmUpCpuMicros: [],
    requestsPerSecond: [],
    rssMegabytes: [],
    pressure: [],
    spansPerRequest: 0,
    spansExpected: 0,
    spansReceived: 0,
    wireBytes: 0,
  };
}
