# SPDX-License-Identifier: LGPL-2.1-or-later
"""``joblib.parallel_backend("libpool")``: what joblib runs, and scikit-learn with it, on a libpool pool."""

import sys


def register(make_default=False):
    """Makes the backend known to joblib, under the name ``libpool``. Raises ImportError if joblib is not installed.

    It is called when the namespace is imported by a program that has imported joblib.
    """
    import joblib
    from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase, SafeFunction

    from .native import native
    from .pool import Pool

    class LibpoolBackend(AutoBatchingMixin, ParallelBackendBase):
        """A pool of processes for each ``Parallel``, or each ``with Parallel``."""

        supports_timeout = True
        supports_sharedmem = False
        uses_threads = False

        def __init__(self, nesting_level=None, inner_max_num_threads=None, **options):
            super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
            self._options = options
            self._made = None

        def effective_n_jobs(self, n_jobs):
            if n_jobs == 0:
                raise ValueError('n_jobs == 0 in Parallel has no meaning')
            if n_jobs is None:
                return 1
            if n_jobs < 0:
                return max(native.cpu_count() + 1 + n_jobs, 1)
            return n_jobs

        def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **backend_args):
            n_jobs = self.effective_n_jobs(n_jobs)
            self.parallel = parallel
            options = {name: value for name, value in {**self._options, **backend_args}.items()
                       if name not in ('idle_worker_timeout', 'max_nbytes', 'mmap_mode', 'temp_folder', 'verbose',
                                       'context_id')}
            self._made = Pool(n_jobs, **options)
            return n_jobs

        def apply_async(self, func, callback=None):
            return self._made.apply_async(SafeFunction(func), callback=callback)

        def terminate(self):
            made, self._made = self._made, None
            if made is not None:
                made.terminate()
                made.join()
            self.reset_batch_stats()

        def abort_everything(self, ensure_ready=True):
            self.terminate()
            if ensure_ready:
                self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_args)

    joblib.register_parallel_backend('libpool', LibpoolBackend, make_default=make_default)


if 'joblib' in sys.modules:
    register()
