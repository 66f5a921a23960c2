/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every async method of the binding is yielded on, and every delegate is a closure, on real pools. */

delegate void Begin (Pool.Manager pool, AsyncReadyCallback done);
delegate void End (AsyncResult result) throws Error;
delegate void Body (Pool.Manager pool) throws Error;

/* A pool around a test: whatever it throws is a failure. */
void with_pool (string backend, Body body)
{
  try
    {
      var pool = new Pool.Manager (backend) { processes = 2 };

      body (pool);
      pool.close ();
      assert (pool.join (60));
    }
  catch (Error e)
    {
      Test.message ("%s", e.message);
      Test.fail ();
    }
}

/* The same from a main loop that runs until an async function has ended. */
void with_loop (string backend, Begin begin, End end)
{
  with_pool (backend, (pool) => {
    var loop = new MainLoop ();
    AsyncResult? ended = null;

    pool.start ();
    begin (pool, (source, result) => {
      ended = result;
      loop.quit ();
    });
    loop.run ();
    end (ended);
  });
}

Variant numbers (int64[] values)
{
  Variant[] children = {};

  foreach (var value in values)
    children += new Variant.int64 (value);
  return new Variant.array (VariantType.INT64, children);
}

int64 item (Variant results, size_t index)
{
  return results.get_child_value (index).get_variant ().get_int64 ();
}

bool is_text (Bytes bytes, string text)
{
  return bytes.compare (new Bytes (text.data)) == 0;
}

/* --- async methods --- */

async void apply (Pool.Manager pool) throws Error
{
  var square = yield pool.apply_async ("conform.square", new Variant ("(x)", (int64) 9));

  assert (square.get_int64 () == 81);
  try
    {
      yield pool.apply_async ("conform.even", new Variant ("(x)", (int64) 3), new Pool.CallOptions ());
      assert_not_reached ();
    }
  catch (IOError.FAILED e)
    {
    }
  try
    {
      yield pool.apply_async ("conform.nothing", null);
      assert_not_reached ();
    }
  catch (Pool.Error.NO_SUCH_TASK e)
    {
    }
}

async void apply_cancelled (Pool.Manager pool) throws Error
{
  var cancellable = new Cancellable ();
  var options = new Pool.CallOptions ();

  options.set_accept_callback ((result, worker, time) => cancellable.cancel ());
  try
    {
      yield pool.apply_async ("conform.patient", new Variant ("(d)", 600.0), options, cancellable);
      assert_not_reached ();
    }
  catch (Pool.Error.CANCELLED e)
    {
    }
}

async void apply_bytes (Pool.Manager pool) throws Error
{
  var echo = yield pool.apply_bytes_async ("conform.bytes-echo", "abc".data);

  assert (is_text (echo, "abc"));
}

async void apply_block (Pool.Manager pool) throws Error
{
  var block = pool.reserve (3);
  var echo = yield pool.apply_block_async ("conform.bytes-copy", fill (block, "xyz"));

  assert (is_text (echo, "xyz"));
}

Pool.Block fill (Pool.Block block, string text)
{
  Memory.copy ((void*) (ulong) block.get_address (), text, block.get_size ());
  return block;
}

async void map (Pool.Manager pool) throws Error
{
  var squares = yield pool.map_async ("conform.square", numbers ({ 1, 2, 3 }));

  assert (squares.n_children () == 3 && item (squares, 2) == 9);
}

async void starmap (Pool.Manager pool) throws Error
{
  var pairs = new Variant.array (new VariantType ("(xx)"), { new Variant ("(xx)", (int64) 3, (int64) 4) });
  var sums = yield pool.starmap_async ("conform.add", pairs, 1);

  assert (sums.n_children () == 1 && item (sums, 0) == 7);
}

async void map_packed (Pool.Manager pool) throws Error
{
  var packed = Pool.packed_new ({ new Bytes ("a".data), new Bytes ("bcd".data) });
  var echoes = yield pool.map_packed_async ("conform.bytes-echo", packed);

  assert (Pool.packed_get_n_items (echoes) == 2);
  assert (is_text (Pool.packed_get_item (echoes, 1), "bcd"));
}

async void wait_for_result (Pool.Manager pool) throws Error
{
  var result = pool.submit ("conform.square", new Variant ("(x)", (int64) 5));

  assert (yield result.wait_async ());
  assert (result.ready () && result.successful ());
  assert (result.get ().get_int64 () == 25);
}

async void next (Pool.Manager pool) throws Error
{
  var results = pool.imap ("conform.even", numbers ({ 2, 3, 4 }));
  Variant? value;
  int64 sum = 0;
  int failed = 0;

  while (true)
    {
      try
        {
          if ((value = yield results.next_async ()) == null)
            break;
          sum += value.get_int64 ();
        }
      catch (IOError.FAILED e)
        {
          failed++;
        }
    }
  assert (sum == 6 && failed == 1 && results.is_done ());
}

async void stream (Pool.Manager pool) throws Error
{
  var stream = pool.open_stream ("conform.bytes-echo");

  stream.submit (Pool.packed_new ({ new Bytes ("one".data) }).get_data ());
  assert (yield stream.wait_async (true));
  var batch = stream.take (true, 0);
  assert (Pool.packed_get_n_items (batch) == 1);
  /* the number of the call and what follows, 64 bits each */
  var first = Pool.packed_get_item (batch, 0);
  assert (is_text (first[16:first.length], "one"));
  assert (stream.take (true, 0) == null);
}

/* --- results that are waited for later --- */

async void submitted (Pool.Manager pool) throws Error
{
  var options = new Pool.CallOptions () { correlation_id = "mine" };
  var one = pool.submit ("conform.echo", new Variant ("(s)", "hello"), options);
  var bytes = pool.submit_bytes ("conform.bytes-echo", "abc".data);
  var block = pool.submit_block ("conform.bytes-copy", fill (pool.reserve (2), "no"));
  var many = pool.submit_map ("conform.square", numbers ({ 4, 5 }));
  var pairs = pool.submit_starmap ("conform.add", new Variant.array (new VariantType ("(xx)"), {}));
  var packed = pool.submit_map_packed ("conform.bytes-echo", Pool.packed_new ({ new Bytes ("z".data) }));

  one.get ();
  assert (one.get_correlation_id () == "mine");
  assert (is_text (bytes.get_bytes (), "abc") && is_text (block.get_bytes (), "no"));
  assert (item (many.get (), 1) == 25 && many.get_n_items () == 2 && many.get_n_done () == 2);
  assert (pairs.get ().n_children () == 0);
  assert (Pool.packed_get_n_items (packed.get_bytes ()) == 1);
}

/* --- delegates, and what they hold --- */

class Noted : Object
{
  public static int freed;
  public int64 number { get; construct; }

  public Noted (int64 number)
    {
      Object (number: number);
    }

  ~Noted ()
    {
      AtomicInt.inc (ref freed);
    }
}

void register_closures (Pool.Manager pool) throws Error
{
  var noted = new Noted (40);

  pool.register ("add", (task, args) => new Variant.int64 (args.get_child_value (0).get_int64 () + noted.number));
  pool.register_bytes ("sum", (task, data) => {
    uint8 sum = (uint8) noted.number;

    foreach (var value in data)
      sum += value;
    task.reply ({ sum });
    return true;
  });
  pool.register_batch ("same", (task, batch) => noted.number == 40 ? batch : null);
}

void closures (string backend)
{
  Noted.freed = 0;
  with_pool (backend, (pool) => {
    register_closures (pool);
    pool.start ();
    assert (pool.apply ("add", new Variant ("(x)", (int64) 2)).get_int64 () == 42);
    assert (pool.apply_bytes ("sum", { 1, 2, 3 })[0] == 46);
    assert (is_text (pool.apply_bytes ("same", "abc".data), "abc"));
  });
  assert (Noted.freed == 1);
}

void lazily (string backend)
{
  Noted.freed = 0;
  with_pool (backend, (pool) => {
    var noted = new Noted (3);
    int64 given = 0, sum = 0;
    Variant? value;

    pool.start ();
    var results = pool.imap_lazy ("conform.square", false, true, 1, () => given < noted.number ? new Variant.int64 (++given) : null);
    while ((value = results.next ()) != null)
      sum += value.get_int64 ();
    assert (sum == 14);
  });
  assert (Noted.freed == 1);
}

async void terminate (Pool.Manager pool) throws Error
{
  var options = new Pool.CallOptions ();
  int64 pid = 0;

  options.set_accept_callback ((result, worker, time) => {
    pid = worker.pid;
    assert (!result.ready ());
    result.terminate (Posix.Signal.KILL);
  });
  try
    {
      yield pool.apply_async ("conform.patient", new Variant ("(d)", 600.0), options);
      assert_not_reached ();
    }
  catch (Pool.Error.TERMINATED e)
    {
    }
  assert (pid > 0);
  foreach (var worker in pool.get_workers ())
    assert (worker.pid > 0);
}

async void timed_out (Pool.Manager pool) throws Error
{
  var options = new Pool.CallOptions () { timeout = 0.0625 };
  bool told = false;
  SourceFunc? resume = null;

  pool.timed_out.connect ((result, soft, limit) => {
    told = true;
    assert (!soft && limit == 0.0625);
    if (resume != null)
      resume ();
  });
  try
    {
      yield pool.apply_async ("conform.patient", new Variant ("(d)", 600.0), options);
      assert_not_reached ();
    }
  catch (Pool.Error.TIMED_OUT e)
    {
    }
  if (!told)
    {
      resume = timed_out.callback;
      yield;
    }
}

class Greeter : Pool.Process
{
  public override Variant? run (Pool.Task task, Variant args) throws Error
  {
    string name = args.get_child_value (0).get_string ();

    if (name == "")
      throw new IOError.INVALID_ARGUMENT ("nobody is there");
    return new Variant.string (@"Hello, $name!");
  }
}

void subclass (string backend)
{
  with_pool (backend, (pool) => {
    pool.target_type = typeof (Greeter);
    pool.start ();
    assert (pool.apply (null, new Variant ("(s)", "Ada")).get_string () == "Hello, Ada!");
    try
      {
        pool.apply (null, new Variant ("(s)", ""));
        assert_not_reached ();
      }
    catch (IOError.INVALID_ARGUMENT e)
      {
      }
  });
}

void add_async (string name, string backend, owned Begin begin, owned End end)
{
  Test.add_data_func (@"/vala/$backend/$name", () => with_loop (backend, begin, end));
}

int main (string[] args)
{
  Test.init (ref args);
  foreach (unowned string name in Environment.get_variable ("POOL_TEST_BACKENDS").split (" "))
    {
      string backend = name;

      /* closures do not travel; to workers that are forked they do only while the program has one thread */
      if (backend != "zmq")
        {
          Test.add_data_func (@"/vala/$backend/closures", () => closures (backend));
          Test.add_data_func (@"/vala/$backend/subclass", () => subclass (backend));
        }
      /* a thread cannot be ended */
      if (backend != "threads")
        {
          add_async ("terminate", backend, (pool, done) => terminate.begin (pool, done), (result) => terminate.end (result));
          add_async ("timed-out", backend, (pool, done) => timed_out.begin (pool, done), (result) => timed_out.end (result));
        }
      Test.add_data_func (@"/vala/$backend/lazily", () => lazily (backend));
      add_async ("apply", backend, (pool, done) => apply.begin (pool, done), (result) => apply.end (result));
      add_async ("apply-cancelled", backend, (pool, done) => apply_cancelled.begin (pool, done), (result) => apply_cancelled.end (result));
      add_async ("apply-bytes", backend, (pool, done) => apply_bytes.begin (pool, done), (result) => apply_bytes.end (result));
      add_async ("apply-block", backend, (pool, done) => apply_block.begin (pool, done), (result) => apply_block.end (result));
      add_async ("map", backend, (pool, done) => map.begin (pool, done), (result) => map.end (result));
      add_async ("starmap", backend, (pool, done) => starmap.begin (pool, done), (result) => starmap.end (result));
      add_async ("map-packed", backend, (pool, done) => map_packed.begin (pool, done), (result) => map_packed.end (result));
      add_async ("wait", backend, (pool, done) => wait_for_result.begin (pool, done), (result) => wait_for_result.end (result));
      add_async ("next", backend, (pool, done) => next.begin (pool, done), (result) => next.end (result));
      add_async ("stream", backend, (pool, done) => stream.begin (pool, done), (result) => stream.end (result));
      add_async ("submit", backend, (pool, done) => submitted.begin (pool, done), (result) => submitted.end (result));
    }
  return Test.run ();
}
