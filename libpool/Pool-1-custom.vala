/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An async method gives its value and nothing before. These are the same calls without a callback, which give the result object:
 * to be asked, cancelled or ended while the call runs, and waited for later.
 */
namespace Pool {
  public sealed class Manager : GLib.Object {
    [CCode (cname = "pool_manager_apply_async")]
    public Pool.ApplyResult submit (string? task, GLib.Variant? args, Pool.CallOptions? options = null, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
    [CCode (cname = "pool_manager_apply_bytes_async")]
    public Pool.ApplyResult submit_bytes (string? task, [CCode (array_length_pos = 2.5, array_length_type = "gsize")] uint8[] data, Pool.CallOptions? options = null, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
    [CCode (cname = "pool_manager_apply_block_async")]
    public Pool.ApplyResult submit_block (string? task, Pool.Block block, Pool.CallOptions? options = null, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
    [CCode (cname = "pool_manager_map_async")]
    public Pool.MapResult submit_map (string? task, GLib.Variant items, uint chunksize = 0, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
    [CCode (cname = "pool_manager_starmap_async")]
    public Pool.MapResult submit_starmap (string? task, GLib.Variant items, uint chunksize = 0, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
    [CCode (cname = "pool_manager_map_packed_async")]
    public Pool.MapResult submit_map_packed (string? task, GLib.Bytes packed, uint chunksize = 0, GLib.Cancellable? cancellable = null, void* no_callback = null, void* no_user_data = null);
  }
}
