// SPDX-License-Identifier: LGPL-2.1-or-later

// The library as a C++ program sees it: only the public header, objects in RAII, lambdas as tasks.

#include <libpool.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
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
square (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x = 0;

  g_variant_get (args, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

GVariant *
add (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 a = 0, b = 0;

  g_variant_get (args, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

GVariant *
fail_if_odd (PoolTask *task, GVariant *args, gpointer user_data, GError **error)
{
  gint64 x = 0;

  g_variant_get (args, "(x)", &x);
  if (x % 2 != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%d is odd", static_cast<int> (x));
      return nullptr;
    }
  return g_variant_new_int64 (x);
}

gboolean
reverse (PoolTask *task, const guint8 *data, gsize size, gpointer user_data, GError **error)
{
  std::string text (reinterpret_cast<const char *> (data), size);

  std::reverse (text.begin (), text.end ());
  pool_task_reply (task, reinterpret_cast<const guint8 *> (text.data ()), text.size ());
  return TRUE;
}

GVariant *
numbers (gint64 from, gint64 to)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ax"));
  for (gint64 i = from; i < to; i++)
    g_variant_builder_add (&builder, "x", i);
  return g_variant_builder_end (&builder);
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

class Consumer : public ::testing::TestWithParam<const char *>
{
protected:
  void
  SetUp () override
  {
    pool.reset (static_cast<PoolManager *> (
        g_object_new (POOL_TYPE_MANAGER, "backend", GetParam (), "processes", 2, nullptr)));
    ASSERT_NE (pool, nullptr);
    ASSERT_TRUE (
        pool_manager_register (pool.get (), "square", square, nullptr, nullptr, error.out ()));
    ASSERT_TRUE (pool_manager_register (pool.get (), "add", add, nullptr, nullptr, error.out ()));
    ASSERT_TRUE (
        pool_manager_register (pool.get (), "even", fail_if_odd, nullptr, nullptr, error.out ()));
    ASSERT_TRUE (pool_manager_register_bytes (pool.get (), "reverse", reverse, nullptr, nullptr,
                                              error.out ()));
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

  Error error;
  Pool pool;
};

TEST_P (Consumer, AppliesAFunction)
{
  start ();
  Variant result (pool_manager_apply (pool.get (), "square", g_variant_new ("(x)", gint64{ 12 }),
                                      nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  EXPECT_EQ (g_variant_get_int64 (result.get ()), 144);
  finish ();
}

TEST_P (Consumer, MapsInOrder)
{
  start ();
  Variant results (
      pool_manager_map (pool.get (), "square", numbers (0, 1000), 0, nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();

  auto list = unpack (results.get ());
  ASSERT_EQ (list.size (), 1000u);
  for (gint64 i = 0; i < 1000; i++)
    EXPECT_EQ (list[i], i * i);
  finish ();
}

TEST_P (Consumer, StarmapGivesEachTupleAsArguments)
{
  GVariantBuilder pairs;

  start ();
  g_variant_builder_init (&pairs, G_VARIANT_TYPE ("a(xx)"));
  for (gint64 i = 0; i < 10; i++)
    g_variant_builder_add (&pairs, "(xx)", i, 100 - i);
  Variant results (pool_manager_starmap (pool.get (), "add", g_variant_builder_end (&pairs), 3,
                                         nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();
  EXPECT_EQ (unpack (results.get ()), std::vector<gint64> (10, 100));
  finish ();
}

TEST_P (Consumer, AnErrorKeepsItsDomainCodeAndMessage)
{
  start ();
  Variant result (pool_manager_apply (pool.get (), "even", g_variant_new ("(x)", gint64{ 7 }),
                                      nullptr, nullptr, error.out ()));
  EXPECT_EQ (result, nullptr);
  EXPECT_TRUE (error.is (G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) << error.message ();
  EXPECT_NE (error.message ().find ("7 is odd"), std::string::npos) << error.message ();

  Variant results (
      pool_manager_map (pool.get (), "even", numbers (0, 10), 0, nullptr, error.out ()));
  EXPECT_EQ (results, nullptr);
  EXPECT_TRUE (error.is (G_IO_ERROR, G_IO_ERROR_INVALID_DATA)) << error.message ();

  // the pool is as good as before
  result.reset (pool_manager_apply (pool.get (), "even", g_variant_new ("(x)", gint64{ 8 }),
                                    nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  finish ();
}

TEST_P (Consumer, WrongCallsAreErrors)
{
  Variant early (pool_manager_apply (pool.get (), "square", g_variant_new ("(x)", gint64{ 1 }),
                                     nullptr, nullptr, error.out ()));
  EXPECT_EQ (early, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_NOT_STARTED)) << error.message ();

  start ();
  Variant unknown (pool_manager_apply (pool.get (), "squared", g_variant_new ("(x)", gint64{ 1 }),
                                       nullptr, nullptr, error.out ()));
  EXPECT_EQ (unknown, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_NO_SUCH_TASK)) << error.message ();
  EXPECT_FALSE (
      pool_manager_register (pool.get (), "late", square, nullptr, nullptr, error.out ()));
  EXPECT_TRUE (error.is (POOL_ERROR_STATE)) << error.message ();

  finish ();
  Variant late (pool_manager_apply (pool.get (), "square", g_variant_new ("(x)", gint64{ 1 }),
                                    nullptr, nullptr, error.out ()));
  EXPECT_EQ (late, nullptr);
  EXPECT_TRUE (error.is (POOL_ERROR_CLOSED)) << error.message ();
}

TEST_P (Consumer, BytesNeedNoVariant)
{
  const std::string text = "stressed";
  gsize size = 0;

  start ();
  Bytes result (pool_manager_apply_bytes (pool.get (), "reverse",
                                          reinterpret_cast<const guint8 *> (text.data ()),
                                          text.size (), nullptr, nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  auto data = static_cast<const char *> (g_bytes_get_data (result.get (), &size));
  EXPECT_EQ (std::string (data, size), "desserts");
  finish ();
}

TEST_P (Consumer, PackedBatches)
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
      pool_manager_map_packed (pool.get (), "reverse", data, size, 0, nullptr, error.out ()));
  ASSERT_NE (results, nullptr) << error.message ();
  ASSERT_EQ (pool_packed_get_n_items (results.get ()), 3u);
  Bytes last (pool_packed_get_item (results.get (), 2, error.out ()));
  ASSERT_NE (last, nullptr) << error.message ();
  auto text = static_cast<const char *> (g_bytes_get_data (last.get (), &size));
  EXPECT_EQ (std::string (text, size), "54321");
  finish ();
}

TEST_P (Consumer, ResultsCanBeTakenLater)
{
  std::vector<std::unique_ptr<PoolAsyncResult, Unref>> pending;

  start ();
  for (gint64 i = 0; i < 50; i++)
    pending.emplace_back (POOL_ASYNC_RESULT (
        pool_manager_apply_async (pool.get (), "square", g_variant_new ("(x)", i), nullptr, nullptr,
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

TEST_P (Consumer, IteratesWithoutStoppingAtAnError)
{
  int good = 0, bad = 0;

  start ();
  Iterator iterator (pool_manager_imap (pool.get (), "even", numbers (0, 20), 1, error.out ()));
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

TEST_P (Consumer, RunsATaskModule)
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

TEST_P (Consumer, AutoptrWorksInCPlusPlus)
{
  g_autoptr (GError) local_error = nullptr;
  g_autoptr (PoolManager) manager = pool_manager_new (GetParam ());
  g_autoptr (GVariant) result = nullptr;
  g_autofree char *backend = nullptr;

  ASSERT_TRUE (pool_manager_register (manager, "square", square, nullptr, nullptr, &local_error));
  ASSERT_TRUE (pool_manager_start (manager, &local_error));
  result = pool_manager_apply (manager, "square", g_variant_new ("(x)", gint64{ -3 }), nullptr,
                               nullptr, &local_error);
  ASSERT_NE (result, nullptr) << local_error->message;
  EXPECT_EQ (g_variant_get_int64 (result), 9);
  g_object_get (manager, "backend", &backend, nullptr);
  EXPECT_STREQ (backend, GetParam ());
  // goes out of scope while it runs: no leak, no hang
}

TEST_P (Consumer, UserDataIsFreedOnce)
{
  static int freed;

  freed = 0;
  ASSERT_TRUE (pool_manager_register (
      pool.get (), "closure",
      [] (PoolTask *, GVariant *, gpointer user_data, GError **) -> GVariant * {
        return g_variant_new_int64 (*static_cast<gint64 *> (user_data));
      },
      new gint64 (42),
      [] (gpointer user_data) {
        delete static_cast<gint64 *> (user_data);
        freed++;
      },
      error.out ()));
  start ();
  Variant result (pool_manager_apply (pool.get (), "closure", g_variant_new ("()"), nullptr,
                                      nullptr, error.out ()));
  ASSERT_NE (result, nullptr) << error.message ();
  EXPECT_EQ (g_variant_get_int64 (result.get ()), 42);
  finish ();
  result.reset ();
  pool.reset ();
  EXPECT_EQ (freed, 1);
}

INSTANTIATE_TEST_SUITE_P (Backends, Consumer, ::testing::Values ("fork", "threads"),
                          [] (const auto &info) { return std::string (info.param); });

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
