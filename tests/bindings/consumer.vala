/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The generated Vala binding: a program that only a right .vapi can compile. */

Variant? square (Pool.Task task, Variant args) throws Error
{
  int64 x = args.get_child_value (0).get_int64 ();

  if (x < 0)
    throw new IOError.INVALID_ARGUMENT ("%s is negative", x.to_string ());
  return new Variant.int64 (x * x);
}

Pool.Manager make_pool (string backend) throws Error
{
  var pool = new Pool.Manager (backend);

  pool.register ("square", (task, args) => square (task, args));
  pool.start ();
  return pool;
}

void finish (Pool.Manager pool) throws Error
{
  pool.close ();
  pool.join (30);
}

void test_apply (string backend)
{
  try
    {
      var pool = make_pool (backend);

      assert (pool.apply ("square", new Variant ("(x)", (int64) 9), null, null).get_int64 () == 81);
      finish (pool);
    }
  catch (Error e)
    {
      Test.message ("%s", e.message);
      Test.fail ();
    }
}

void test_map (string backend)
{
  try
    {
      var pool = make_pool (backend);
      var items = new Variant.array (VariantType.INT64, { new Variant.int64 (1), new Variant.int64 (2), new Variant.int64 (3) });
      var squares = pool.map ("square", items, 0, null);

      assert (squares.n_children () == 3);
      assert (squares.get_child_value (2).get_variant ().get_int64 () == 9);
      finish (pool);
    }
  catch (Error e)
    {
      Test.message ("%s", e.message);
      Test.fail ();
    }
}

void test_error (string backend)
{
  try
    {
      var pool = make_pool (backend);

      try
        {
          pool.apply ("square", new Variant ("(x)", (int64) (-1)), null, null);
          Test.fail ();
        }
      catch (IOError.INVALID_ARGUMENT e)
        {
        }
      try
        {
          pool.apply ("nothing", new Variant ("()"), null, null);
          Test.fail ();
        }
      catch (Pool.Error.NO_SUCH_TASK e)
        {
        }
      finish (pool);
    }
  catch (Error e)
    {
      Test.message ("%s", e.message);
      Test.fail ();
    }
}

int main (string[] args)
{
  Test.init (ref args);
  foreach (unowned string name in new string[] { "fork", "threads" })
    {
      string backend = name;

      Test.add_data_func (@"/vala/apply/$backend", () => test_apply (backend));
      Test.add_data_func (@"/vala/map/$backend", () => test_map (backend));
      Test.add_data_func (@"/vala/error/$backend", () => test_error (backend));
    }
  return Test.run ();
}
