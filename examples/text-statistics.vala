/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counts the words of files, with results as they come; a file that takes longer than 30 s is given up. It prints what
 * text-statistics.py and text-statistics.js do.
 *
 *   $ valac --pkg libpool-1 text-statistics.vala && ./text-statistics ../LICENSE
 */

/* Words, in the order in which they were first seen, and how often. */
class Counts : Object
{
  public GenericArray<string> words = new GenericArray<string> ();
  public uint64 total;
  private HashTable<string, uint64?> numbers = new HashTable<string, uint64?> (str_hash, str_equal);

  public new uint64 get (string word)
  {
    return numbers[word] ?? 0;
  }

  public void add (string word, uint64 n)
  {
    if (!numbers.contains (word))
      words.add (word);
    numbers[word] = this[word] + n;
    total += n;
  }
}

string read_text (string path) throws Error
{
  try
    {
      string text;

      FileUtils.get_contents (path, out text);
      return text.make_valid ().down ();
    }
  catch (FileError e)
    {
      string[] parts = e.message.split (": ");

      throw new FileError.FAILED ("%s: %s", path, parts[parts.length - 1]);
    }
}

/* In a worker: the path, and each word with its number. */
Variant? count (Pool.Task task, Variant args) throws Error
{
  var path = args.get_child_value (0).get_bytestring ();
  var counts = new Counts ();
  var result = new VariantBuilder (new VariantType ("a(st)"));

  string[] words = /[^a-z]+/.split (read_text (path));
  foreach (unowned string word in words)
    if (word != "")
      counts.add (word, 1);
  foreach (unowned string word in counts.words)
    result.add ("(st)", word, counts[word]);
  return new Variant ("(@ay@a(st))", new Variant.bytestring (path), result.end ());
}

void show_row (string words, string distinct, string name)
{
  print ("%8s%10s  %s\n", words, distinct, name);
}

void show (Counts counts, string name)
{
  show_row (counts.total.to_string (), counts.words.length.to_string (), name);
}

void show_all (HashTable<string, Counts> files, GenericArray<string> failures)
{
  var all = new Counts ();
  var paths = files.get_keys ();
  string[] frequent = {};

  paths.sort (strcmp);
  show_row ("words", "distinct", "file");
  foreach (unowned string path in paths)
    {
      show (files[path], path);
      foreach (unowned string word in files[path].words)
        all.add (word, files[path][word]);
    }
  show (all, "in all");

  for (int n = 0; n < int.min (3, all.words.length); n++)
    {
      int best = n;

      for (int i = n + 1; i < all.words.length; i++)
        if (all[all.words[i]] > all[all.words[best]])
          best = i;
      /* those of one number stay in the order in which they were seen */
      var word = all.words[best];
      all.words.remove_index (best);
      all.words.insert (n, word);
      frequent += @"$word $(all[word])";
    }
  print ("most frequent: %s\n", string.joinv (", ", frequent));
  foreach (unowned string failure in failures)
    print ("failed: %s\n", failure);
}

async void count_all (Pool.Manager pool, string[] paths) throws Error
{
  var files = new HashTable<string, Counts> (str_hash, str_equal);
  var failures = new GenericArray<string> ();
  Variant[] items = {};

  foreach (unowned string path in paths)
    items += new Variant.bytestring (path);
  var results = pool.imap_unordered ("count", new Variant.array (VariantType.BYTESTRING, items));
  while (true)
    {
      try
        {
          var result = yield results.next_async ();

          if (result == null)
            break;
          var counts = new Counts ();
          foreach (var pair in result.get_child_value (1))
            counts.add (pair.get_child_value (0).get_string (), pair.get_child_value (1).get_uint64 ());
          files[result.get_child_value (0).get_bytestring ()] = counts;
        }
      catch (Error e)
        {
          /* of one file; the next one brings the next file */
          failures.add (e.message);
          if (results.is_done ())
            break;
        }
    }
  show_all (files, failures);
}

int main (string[] args)
{
  var loop = new MainLoop ();
  int status = 0;

  if (args.length < 2)
    {
      printerr ("usage: text-statistics FILE...\n");
      return 2;
    }
  var pool = new Pool.Manager ("fork") { timeout = 30 };
  try
    {
      pool.register ("count", count);
      pool.start ();
      count_all.begin (pool, args[1:args.length], (source, result) => {
        try
          {
            count_all.end (result);
          }
        catch (Error e)
          {
            printerr ("%s\n", e.message);
            status = 1;
          }
        loop.quit ();
      });
      loop.run ();
      pool.close ();
      pool.join ();
    }
  catch (Error e)
    {
      printerr ("%s\n", e.message);
      status = 1;
    }
  return status;
}
