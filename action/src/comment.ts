// The comment on a pull request: one for each job, found again by a mark that is not shown, and then changed.
import * as github from '@actions/github';

/** GitHub takes no longer text. */
const MAX_LENGTH = 65_000;

/** Writes `body` as the comment of the job that `scope` names. Returns false when this is no pull request. */
export async function comment(token: string, scope: string, body: string): Promise<boolean> {
  const issue = github.context.payload.pull_request?.number;
  if (issue === undefined) return false;
  const octokit = github.getOctokit(token);
  const { issues } = octokit.rest;
  const pull = { ...github.context.repo, issue_number: issue };
  const mark = `<!-- kache: ${scope.replaceAll('--', '__')} -->`;
  const text = `${mark}\n${body}`.slice(0, MAX_LENGTH);
  const present = await octokit.paginate(issues.listComments, { ...pull, per_page: 100 });
  const own = present.find((one) => one.body?.startsWith(mark) === true);
  if (own === undefined) await issues.createComment({ ...pull, body: text });
  else await issues.updateComment({ ...github.context.repo, comment_id: own.id, body: text });
  return true;
}
