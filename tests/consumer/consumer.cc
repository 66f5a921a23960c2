// SPDX-License-Identifier: LGPL-2.1-or-later

// The library as a C++ program sees it: only the public header, objects in RAII, lambdas as tasks and callbacks. The backend is
// that of POOL_TEST_BACKEND.

#include "tasks.hh"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace
{

struct Unref
{
  void
  operator() (gpointer object) const
  {
    g_object_unref (object);
  }
  void
  operator() (GVariant *variant) const
  {
    g_variant_unref (variant);
  }
  void
  operator() (GBytes *bytes) const
  {
    g_bytes_unref (bytes);
  }
};

using Pool = std::unique_ptr<PoolManager, Unref>;
using Variant = std::unique_ptr<GVariant, Unref>;
using Bytes = std::unique_ptr<GBytes, Unref>;
using Iterator = std::unique_ptr<PoolResultIterator, Unref>;

// Frees an error and tells what it was when an expectation fails.
class Error
{
public:
  ~Error ()
  {
    g_clear_error (&error_);
  }
  GError **
  out ()
  {
    g_clear_error (&error_);
    return &error_;
  }
  bool
  is_set () const
  {
    return error_ != nullptr;
  }
  bool
  is (int code) const
  {
    return g_error_matches (error_, POOL_ERROR, code);
  }
  bool
  is (GQuark domain, int code) const
  {
    return g_error_matches (error_, domain, code);
  }
  std::string
  message () const
  {
    return error_ != nullptr ? error_->message : "no error";
  }

private:
  GError *error_ = nullptr;
};

GVariant *
numbers (gint64 from, gint64 to)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ax"));
  for (gint64 i = from; i < to; i++)
    g_variant_builder_add (&builder, "x", i);
  return g_variant_builder_end (&builder);
}

// Callbacks are functions of C++ that are called once.
using Done = std::function<void (GAsyncResult *)>;

void
call_once (GObject *, GAsyncResult *result, gpointer user_data) noexcept
{
  std::unique_ptr<Done> done (static_cast<Done *> (user_data));

  (*done) (result);
}

std::string
backend ()
{
  return g_getenv ("POOL_TEST_BACKEND") != nullptr ? g_getenv ("POOL_TEST_BACKEND") : "fork";
}

// are the functions of this program there?
bool
is_local ()
{
  return backend () == "fork" || backend () == "threads";
}

// the name of a task: of this program, or of the module that has the same
std::string
task (const char *name)
{
  return (is_local () ? "" : "cxx.") + std::string (name);
}

std::vector<gint64>
unpack (GVariant *results)
{
  std::vector<gint64> list;

  for (gsize i = 0; results != nullptr && i < g_variant_n_children (results); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      list.push_back (g_variant_get_int64 (value));
    }
  return list;
}

class Consumer : public ::testing::Test
{
protected:
  void
  SetUp () override
  {
    pool.reset (static_cast<PoolManager *> (
        g_object_new (POOL_TYPE_MANAGER, "backend", backend ().c_str (), "processes", 2, nullptr)));
    ASSERT_NE (pool, nullptr);
    if (!is_local ())
      return;
    for (auto [name, function] : std::initializer_list<std::pair<const char *, PoolTaskFunc>>{
             { "square", tasks::square },
             { "add", tasks::add },
             { "even", tasks::even },
             { "at", tasks::task<tasks::at> },
             { "careless", tasks::careless },
         })
      ASSERT_TRUE (pool_manager_register (pool.get (), name, function, nullptr, nullptr, error.out ()));
    ASSERT_TRUE (pool_manager_register_bytes (pool.get (), task ("reverse").c_str (), tasks::reverse, nullptr, nullptr, error.out ()));
  }

  void
  start ()
  {
    ASSERT_TRUE (pool_manager_start (pool.get (), error.out ())) << error.message ();
  }

  void
  finish ()
  {
    EXPECT_TRUE (pool_manager_close (pool.get (), error.out ())) << error.message ();
    EXPECT_TRUE (pool_manager_join (pool.get (), 30, error.out ())) << error.message ();
    EXPECT_EQ (pool_manager_get_state (pool.get ()), POOL_STATE_JOINED);
  }

  // a call that is not repeated
  Variant
  apply (const char *name, GVariant *args)
  {
    g_autoptr (PoolCallOptions) options = pool_call_options_new ();

    pool_call_options_set_max_retries (options, 0);
    return Variant (pool_manager_apply (pool.get (), task (name).c_str (), args, options, nullptr, error.out ()));
  }

  Error error;
  Pool pool;
};

// The first: what a closure holds is in workers that are forked while the program has one thread, and does not travel.
TEST_F (Consumer, UserDataIsFreedOnce)
{
  static int freed;

  freed = 0;
  ASSERT_TRUE (pool_manager_register (
      pool.get (), "closure",
      [] (PoolTask *, GVariant *, gpointer user_data, GError **) noexcept {
        return g_variant_new_int64 (*static_cast<gint64 *> (user_data));
      },
      new gint64 (42),
      [] (gpointer user_data) {
        delete static_cast<gint64 *> (user_data);
        freed++;
      },
      error.out ()));
  if (is_local ())
    {
      start ();
      Variant result (pool_manager_apply (pool.get (), "closure", g_variant_new ("()"), nullptr,
                                          nullptr, error.out ()));
      ASSERT_NE (result, nullptr) << error.message ();
      EXPECT_EQ (g_variant_get_int64 (result.get ()), 42);
      finish ();
    }
  else
    {
      EXPECT_FALSE (pool_manager_start (pool.get (), error.out ()));
      EXPECT_TRUE (error.is (POOL_ERROR_STATE)) << error.message ();
    }
  pool.reset ();
  EXPECT_EQ (freed, 1);
}

TEST_F (Consumer, AppliesAFunction)
{
  start ();
  Variant result (pool_manager_apply (pool.get (), task ("square").c_str (), g_variant_new ("(x)", gint64{ 12 }),
                                      nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  EXPECT_EQ (g_variant_get_int64 (result.get ()), 144);
  finish ();
}

TEST_F (Consumer, MapsInOrder)
{
  start ();
  Variant results (
      pool_manager_map (pool.get (), task ("square").c_str (), numbers (0, 1000), 0, nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();

  auto list = unpack (results.get ());
  ASSERT_EQ (list.size (), 1000u);
  for (gint64 i = 0; i < 1000; i++)
    EXPECT_EQ (list[i], i * i);
  finish ();
}

TEST_F (Consumer, StarmapGivesEachTupleAsArguments)
{
  GVariantBuilder pairs;

  start ();
  g_variant_builder_init (&pairs, G_VARIANT_TYPE ("a(xx)"));
  for (gint64 i = 0; i < 10; i++)
    g_variant_builder_add (&pairs, "(xx)", i, 100 - i);
  Variant results (pool_manager_starmap (pool.get (), task ("add").c_str (), g_variant_builder_end (&pairs), 3,
                                         nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();
  EXPECT_EQ (unpack (results.get ()), std::vector<gint64> (10, 100));
  finish ();
}

TEST_F (Consumer, AnErrorKeepsItsDomainCodeAndMessage)
{
  start ();
  Variant result (pool_manager_apply (pool.get (), task ("even").c_str (), g_variant_new ("(x)", gint64{ 7 }),
                                      nullptr, nullptr, error.out ()));
  EXPECT_EQ (result, nullptr);
  EXPECT_TRUE (error.is (G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) << error.message ();
  EXPECT_NE (error.message ().find ("7 is odd"), std::string::npos) << error.message ();

  Variant results (
      pool_manager_map (pool.get (), task ("even").c_str (), numbers (0, 10), 0, nullptr, error.out ()));
  EXPECT_EQ (results, nullptr);
  EXPECT_TRUE (error.is (G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) << error.message ();

  // the pool is as good as before
  result.reset (pool_manager_apply (pool.get (), task ("even").c_str (), g_variant_new ("(x)", gint64{ 8 }),
                                    nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  finish ();
}

TEST_F (Consumer, WrongCallsAreErrors)
{
  Variant early (pool_manager_apply (pool.get (), task ("square").c_str (), g_variant_new ("(x)", gint64{ 1 }),
                                     nullptr, nullptr, error.out ()));
  EXPECT_EQ (early, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_NOT_STARTED)) << error.message ();

  start ();
  Variant unknown (pool_manager_apply (pool.get (), "squared", g_variant_new ("(x)", gint64{ 1 }),
                                       nullptr, nullptr, error.out ()));
  EXPECT_EQ (unknown, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_NO_SUCH_TASK)) << error.message ();
  EXPECT_FALSE (
      pool_manager_register (pool.get (), "late", tasks::square, nullptr, nullptr, error.out ()));
  EXPECT_TRUE (error.is (POOL_ERROR_STATE)) << error.message ();

  finish ();
  Variant late (pool_manager_apply (pool.get (), task ("square").c_str (), g_variant_new ("(x)", gint64{ 1 }),
                                    nullptr, nullptr, error.out ()));
  EXPECT_EQ (late, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_CLOSED)) << error.message ();
}

TEST_F (Consumer, BytesNeedNoVariant)
{
  const std::string text = "stressed";
  gsize size = 0;

  start ();
  Bytes result (pool_manager_apply_bytes (pool.get (), task ("reverse").c_str (),
                                          reinterpret_cast<const guint8 *> (text.data ()),
                                          text.size (), nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  auto data = static_cast<const char *> (g_bytes_get_data (result.get (), &size));
  EXPECT_EQ (std::string (data, size), "desserts");
  finish ();
}

TEST_F (Consumer, PackedBatches)
{
  GBytes *items[] = { g_bytes_new_static ("abc", 3), g_bytes_new_static ("", 0),
                      g_bytes_new_static ("12345", 5) };
  Bytes packed (pool_packed_new (items, G_N_ELEMENTS (items)));
  gsize size = 0;
  auto data = static_cast<const guint8 *> (g_bytes_get_data (packed.get (), &size));

  for (GBytes *item : items)
    g_bytes_unref (item);

  start ();
  Bytes results (
      pool_manager_map_packed (pool.get (), task ("reverse").c_str (), data, size, 0, nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();
  ASSERT_EQ (pool_packed_get_n_items (results.get ()), 3u);
  Bytes last (pool_packed_get_item (results.get (), 2, error.out ()));
  ASSERT_NE (last, nullptr) << error.message ();
  auto text = static_cast<const char *> (g_bytes_get_data (last.get (), &size));
  EXPECT_EQ (std::string (text, size), "54321");
  finish ();
}

TEST_F (Consumer, ResultsCanBeTakenLater)
{
  std::vector<std::unique_ptr<PoolAsyncResult, Unref>> pending;

  start ();
  for (gint64 i = 0; i < 50; i++)
    pending.emplace_back (POOL_ASYNC_RESULT (
        pool_manager_apply_async (pool.get (), task ("square").c_str (), g_variant_new ("(x)", i), nullptr, nullptr,
                                  nullptr, nullptr)));
  for (gint64 i = 0; i < 50; i++)
    {
      Variant result (pool_async_result_get (pending[i].get (), 30, error.out ()));
      ASSERT_NE (result, nullptr) << error.message ();
      EXPECT_EQ (g_variant_get_int64 (result.get ()), i * i);
      EXPECT_TRUE (pool_async_result_ready (pending[i].get ()));
      EXPECT_TRUE (pool_async_result_successful (pending[i].get (), error.out ()));
    }
  finish ();
}

TEST_F (Consumer, IteratesWithoutStoppingAtAnError)
{
  int good = 0, bad = 0;

  start ();
  Iterator iterator (pool_manager_imap (pool.get (), task ("even").c_str (), numbers (0, 20), 1, error.out ()));
  ASSERT_NE (iterator, nullptr) << error.message ();
  for (;;)
    {
      Error item_error;
      Variant value (pool_result_iterator_next (iterator.get (), 30, item_error.out ()));

      if (value != nullptr)
        good++;
      else if (item_error.is_set ())
        {
          ASSERT_TRUE (item_error.is (G_IO_ERROR, G_IO_ERROR_INVALID_DATA))
              << item_error.message ();
          bad++;
        }
      else
        break;
    }
  EXPECT_TRUE (pool_result_iterator_is_done (iterator.get ()));
  EXPECT_EQ (good, 10);
  EXPECT_EQ (bad, 10);
  finish ();
}

TEST_F (Consumer, RunsATaskModule)
{
  start ();
  Variant result (pool_manager_apply (pool.get (), "checksum.sha256",
                                      g_variant_new ("(s)", "/dev/null"), nullptr, nullptr,
                                      error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  EXPECT_STREQ (g_variant_get_string (result.get (), nullptr),
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  finish ();
}

TEST_F (Consumer, ALambdaIsCalledBack)
{
  std::unique_ptr<GMainLoop, decltype (&g_main_loop_unref)> loop (g_main_loop_new (nullptr, FALSE), g_main_loop_unref);
  std::vector<gint64> squares;
  int pending = 20;

  start ();
  for (gint64 i = 0; i < 20; i++)
    pool_manager_apply_async (pool.get (), task ("square").c_str (), g_variant_new ("(x)", i), nullptr, nullptr, call_once,
                              new Done ([&] (GAsyncResult *result) {
                                Variant value (pool_manager_apply_finish (pool.get (), result, error.out ()));

                                EXPECT_NE (value, nullptr) << error.message ();
                                squares.push_back (value ? g_variant_get_int64 (value.get ()) : -1);
                                if (--pending == 0)
                                  g_main_loop_quit (loop.get ());
                              }));
  g_main_loop_run (loop.get ());
  std::sort (squares.begin (), squares.end ());
  ASSERT_EQ (squares.size (), 20u);
  for (gint64 i = 0; i < 20; i++)
    EXPECT_EQ (squares[i], i * i);
  finish ();
}

TEST_F (Consumer, AnExceptionBecomesAnError)
{
  start ();
  Variant byte = apply ("at", g_variant_new ("(su)", "text", 1));
  ASSERT_NE (byte, nullptr) << error.message ();
  EXPECT_EQ (g_variant_get_byte (byte.get ()), 'e');

  EXPECT_EQ (apply ("at", g_variant_new ("(su)", "text", 4)), nullptr);
  EXPECT_TRUE (error.is (G_IO_ERROR, G_IO_ERROR_FAILED)) << error.message ();
  EXPECT_NE (error.message ().find ("basic_string::at"), std::string::npos) << error.message ();

  EXPECT_EQ (apply ("at", g_variant_new ("(su)", "text", G_MAXUINT32)), nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_OUT_OF_MEMORY)) << error.message ();
  finish ();
}

// What a task lets out ends its worker at once, whatever the program would catch where the worker was forked.
TEST_F (Consumer, AnExceptionThatATaskLetsOutIsACrash)
{
  GVariant *args = g_variant_new ("(su)", "text", 4);

  if (backend () == "threads")
    {
      GTEST_FLAG_SET (death_test_style, "threadsafe");
      EXPECT_EXIT (
          {
            start ();
            apply ("careless", args);
            _exit (0);
          },
          ::testing::KilledBySignal (SIGABRT), "basic_string::at");
      g_variant_unref (g_variant_ref_sink (args));
      return;
    }

  const auto program = getpid ();

  try
    {
      start ();
      EXPECT_EQ (apply ("careless", args), nullptr);
      EXPECT_TRUE (error.is (POOL_ERROR_WORKER_LOST)) << error.message ();
      EXPECT_NE (error.message ().find ("signal 6"), std::string::npos) << error.message ();
    }
  catch (...)
    {
      if (getpid () != program)
        _exit (42);
      FAIL () << "the exception came back to the program";
    }

  Variant square = apply ("square", g_variant_new ("(x)", gint64{ 5 }));
  ASSERT_NE (square, nullptr) << error.message ();
  EXPECT_EQ (g_variant_get_int64 (square.get ()), 25);
  finish ();
}

TEST_F (Consumer, AutoptrWorksInCPlusPlus)
{
  g_autoptr (GError) local_error = nullptr;
  g_autoptr (PoolManager) manager = pool_manager_new (backend ().c_str ());
  g_autoptr (GVariant) result = nullptr;
  g_autofree char *name = nullptr;

  ASSERT_TRUE (pool_manager_start (manager, &local_error)) << local_error->message;
  result = pool_manager_apply (manager, "cxx.square", g_variant_new ("(x)", gint64{ -3 }), nullptr,
                               nullptr, &local_error);
  ASSERT_NE (result, nullptr) << local_error->message;
  EXPECT_EQ (g_variant_get_int64 (result), 9);
  g_object_get (manager, "backend", &name, nullptr);
  EXPECT_EQ (name, backend ());
  // goes out of scope while it runs: no leak, no hang
}

TEST (Errors, UnknownBackend)
{
  Error error;
  Pool pool (pool_manager_new ("frok"));

  EXPECT_FALSE (pool_manager_start (pool.get (), error.out ()));
  EXPECT_TRUE (error.is (POOL_ERROR_NO_SUCH_BACKEND)) << error.message ();
}

TEST (Errors, DomainIsRegistered)
{
  EXPECT_STREQ (g_quark_to_string (POOL_ERROR), "pool-error-quark");
}

TEST (Version, MatchesTheHeaders)
{
  EXPECT_EQ (std::to_string (POOL_MAJOR_VERSION) + "." + std::to_string (POOL_MINOR_VERSION) + "." +
                 std::to_string (POOL_MICRO_VERSION),
             POOL_VERSION_S);
}

TEST (Packed, RefusesWhatIsNoBatch)
{
  const guint8 bytes[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3 };
  Error error;
  guint64 n = 0;

  EXPECT_FALSE (pool_packed_check (bytes, sizeof bytes, &n, error.out ()));
  EXPECT_TRUE (error.is (POOL_ERROR_PROTOCOL)) << error.message ();
}

} // namespace

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = nullptr;

  // of several ranks it returns in the first only
  if (!pool_init (&error))
    g_error ("%s", error->message);
  ::testing::InitGoogleTest (&argc, argv);
  return RUN_ALL_TESTS ();
}
