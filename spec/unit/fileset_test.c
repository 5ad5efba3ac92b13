/* fileset_test.c - reading script directories, shadowing, and the generations that are kept. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua/fileset.h"

static char base[64];

static const char *at(const char *rel)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", base, rel);
    return path[turn];
}

static void put(const char *rel, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, rel);
    for (char *slash = strchr(path + strlen(base) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/rucat-fileset-XXXXXX");
    return mkdtemp(base) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) == -1;
}

static void only_scripts_are_read_in_order_and_the_first_shadows(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("one/handlers/a.lua", "one a");
    put("one/handlers/.hidden.lua", "no");
    put("one/.git/x.lua", "no");
    put("one/handlers/a.lua~", "no");
    put("one/handlers/.lua", "no");
    put("one/z.lua", "");
    put("two/handlers/a.lua", "two a");
    put("two/handlers/b.lua", "two b");
    assert_int_equal(symlink("/no/such", at("two/lost.lua")), 0);
    assert_int_equal(symlink("b.lua", at("two/handlers/link.lua")), 0);
    assert_int_equal(mkfifo(at("two/fifo.lua"), 0600), 0); /* must not be waited for */
    const char *roots[] = {at("one"), at("two")};
    assert_int_equal(ruc_fileset_read(&set, roots, 2, &why), 0);
    static const char *const names[] = {"handlers/a.lua", "handlers/b.lua", "handlers/link.lua",
                                        "z.lua"};
    assert_int_equal(set.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(set.files[i].name, names[i]);
        assert_ptr_equal(ruc_fileset_find(&set, names[i]), &set.files[i]);
    }
    assert_string_equal(set.files[0].text, "one a");
    assert_string_equal(set.files[0].path, at("one/handlers/a.lua"));
    assert_int_equal(set.files[3].len, 0);
    assert_null(ruc_fileset_find(&set, "handlers/c.lua"));
    ruc_fileset_free(&set);
    ruc_fileset_free(&set); /* twice is fine */
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    const char *roots[] = {at("nosuch")};
    assert_true(ruc_fileset_read(&set, roots, 1, &why) < 0);
    assert_non_null(strstr(why.text, "nosuch"));
    assert_int_equal(set.count, 0);
}

static void a_circle_of_links_ends(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("circle/a.lua", "x");
    assert_int_equal(symlink(".", at("circle/again")), 0);
    const char *roots[] = {at("circle")};
    int rc = ruc_fileset_read(&set, roots, 1, &why);
    assert_true(rc == 0 ? set.count < 100 : why.text[0] != '\0');
    ruc_fileset_free(&set);
}

static void a_file_that_is_too_large_is_named(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("large/a.lua", "x");
    assert_int_equal(truncate(at("large/a.lua"), RUC_FILE_MAX + 1), 0);
    const char *roots[] = {at("large")};
    assert_true(ruc_fileset_read(&set, roots, 1, &why) < 0);
    assert_non_null(strstr(why.text, "large/a.lua"));
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    size_t len;
    ruc_why_t why = {""};
    assert_null(ruc_file_read(base, 100, &len, &why));
    assert_null(ruc_file_read("/dev/zero", 100, &len, &why));
    assert_null(ruc_file_read(at("nothing"), 100, &len, &why));
    assert_non_null(strstr(why.text, "nothing"));
}

static void the_newest_sets_are_kept_and_read_back(void **state)
{
    (void)state;
    ruc_fileset_t set, again;
    ruc_why_t why = {""};
    unsigned long long numbers[64];
    put("src/handlers/deep/er/a.lua", "text");
    put("src/b.lua", "");
    const char *roots[] = {at("src")};
    assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), 0);
    for (unsigned long long n = 7; n <= 14; n++) {
        assert_int_equal(ruc_fileset_save(&set, at("kept"), n, 5, &why), 0);
    }
    assert_int_equal(ruc_fileset_save(&set, at("kept"), 14, 5, &why), 0); /* over the same one */
    put("kept/99x/a.lua", "not one of ours");
    assert_int_equal(ruc_fileset_saved(at("kept"), numbers, 64), 5);
    assert_int_equal(numbers[0], 14);
    assert_int_equal(numbers[4], 10);
    const char *saved[] = {at("kept/14")};
    assert_int_equal(ruc_fileset_read(&again, saved, 1, &why), 0);
    assert_int_equal(again.count, 2);
    assert_string_equal(ruc_fileset_find(&again, "handlers/deep/er/a.lua")->text, "text");
    ruc_fileset_free(&again);
    put("blocked", "a file");
    assert_true(ruc_fileset_save(&set, at("blocked/x"), 1, 5, &why) < 0);
    assert_true(why.text[0] != '\0');
    ruc_fileset_free(&set);
    assert_int_equal(ruc_fileset_saved(at("nosuch"), numbers, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_scripts_are_read_in_order_and_the_first_shadows),
        cmocka_unit_test(a_directory_that_is_not_there_is_named),
        cmocka_unit_test(a_circle_of_links_ends),
        cmocka_unit_test(a_file_that_is_too_large_is_named),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(the_newest_sets_are_kept_and_read_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
